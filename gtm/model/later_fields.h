/* SPDX-License-Identifier: Apache-2.0
 *
 * Short initialisers for fields that are checked and kept but not stored in C, for the tables of
 * the kinds whose engine comes later. Macros only; nothing runs here.
 */
#ifndef GTM_MODEL_LATER_FIELDS_H
#define GTM_MODEL_LATER_FIELDS_H

#include "gtm/model/schema.h"

#define DAY 86400000.0 /* ms */

/* Trailing arguments: flags, bounds, default (as written, or NULL), documentation. */
#define TEXT(name, f, maximum, about)                                               \
    {                                                                               \
        .key = name, .doc = about, .type = GTM_T_STRING, .flags = f, .max = maximum \
    }
#define FORM(name, f, text_form, about)                                               \
    {                                                                                 \
        .key = name, .doc = about, .type = GTM_T_FORM, .flags = f, .form = &text_form \
    }
#define NAMED(about) FORM("name", GTM_F_REQUIRED, gtm_form_name, about)
#define UINT(name, f, low, high, initial, about)                                            \
    {                                                                                       \
        .key = name, .doc = about, .type = GTM_T_UINT, .flags = f, .min = low, .max = high, \
        .def = initial                                                                      \
    }
/* Both bounds 0 = any number. */
#define NUMBER(name, f, low, high, about)                                                    \
    {                                                                                        \
        .key = name, .doc = about, .type = GTM_T_NUMBER, .flags = f, .min = low, .max = high \
    }
#define RATIO(name, f, high, about)                                             \
    {                                                                           \
        .key = name, .doc = about, .type = GTM_T_RATIO, .flags = f, .max = high \
    }
#define DURATION(name, f, low, high, initial, about)                                            \
    {                                                                                           \
        .key = name, .doc = about, .type = GTM_T_DURATION, .flags = f, .min = low, .max = high, \
        .def = initial                                                                          \
    }
#define ENUM(name, f, enum_words, initial, about)                                         \
    {                                                                                     \
        .key = name, .doc = about, .type = GTM_T_ENUM, .flags = f, GTM_WORDS(enum_words), \
        .def = initial                                                                    \
    }
#define REF(name, f, kind, about)                                             \
    {                                                                         \
        .key = name, .doc = about, .type = GTM_T_REF, .flags = f, .ref = kind \
    }
#define OBJECT(name, f, object_table, about)                                                \
    {                                                                                       \
        .key = name, .doc = about, .type = GTM_T_OBJECT, .flags = f, .table = &object_table \
    }
#define LIST(name, f, element, low, high, about)                                                 \
    {                                                                                            \
        .key = name, .doc = about, .type = GTM_T_LIST, .flags = f, .item = &element, .min = low, \
        .max = high                                                                              \
    }
#define OBJECT_ITEM(object_table)                    \
    {                                                \
        .type = GTM_T_OBJECT, .table = &object_table \
    }

#endif
