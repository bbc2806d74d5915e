/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms of text about time: dates, moments, weekly spans, cron, time zones. See schema_forms.h.
 */
#include "gtm/model/schema_forms.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Reads exactly n digits at *s and steps over them; -1 when there are none. */
static int digits(const char **s, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return -1;
        value = value * 10 + (**s - '0');
    }
    return value;
}

static bool step(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

struct date {
    int year, month, day;
};

static bool read_date(const char **s, struct date *ret)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    ret->year = digits(s, 4);
    if (ret->year < 1 || !step(s, '-'))
        return false;
    ret->month = digits(s, 2);
    if (ret->month < 1 || ret->month > 12 || !step(s, '-'))
        return false;
    ret->day = digits(s, 2);
    bool leap = (ret->year % 4 == 0 && ret->year % 100 != 0) || ret->year % 400 == 0;
    if (ret->month == 2 && ret->day == 29)
        return leap;
    return ret->day >= 1 && ret->day <= days[ret->month - 1];
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar, by counting from 1 March. */
static int64_t day_number(struct date d)
{
    int64_t year = d.year - (d.month <= 2);
    int64_t era_day = (153 * (d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + era_day - 719468;
}

static int parse_date(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    struct date d;
    return read_date(&text, &d) && *text == '\0' ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_date = {
    .what = "a date such as 2026-12-20",
    .pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    .heap = true,
    .parse = parse_date,
};

/* "Z" or "+02:00" → seconds east; false when it is neither. */
static bool read_offset(const char **s, int *ret_seconds)
{
    *ret_seconds = 0;
    if (step(s, 'Z') || step(s, 'z'))
        return true;
    int sign = **s == '-' ? -1 : 1;
    if (!step(s, '+') && !step(s, '-'))
        return false;
    int hours = digits(s, 2);
    if (hours < 0 || hours > 23 || !step(s, ':'))
        return false;
    int minutes = digits(s, 2);
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return minutes >= 0 && minutes <= 59;
}

/* RFC 3339 section 5.6; a leap second counts as the second after it. */
static int parse_time(const char *text, void *out, struct gtm_error *err)
{
    (void)err;
    struct date d;
    if (!read_date(&text, &d) || (!step(&text, 'T') && !step(&text, 't')))
        return GTM_EINVAL;
    int hour = digits(&text, 2), minute = -1, second = -1, offset = 0, ms = 0;
    if (hour >= 0 && hour <= 23 && step(&text, ':'))
        minute = digits(&text, 2);
    if (minute >= 0 && minute <= 59 && step(&text, ':'))
        second = digits(&text, 2);
    if (second < 0 || second > 60)
        return GTM_EINVAL;
    if (step(&text, '.')) {
        size_t n = strspn(text, "0123456789");
        for (size_t i = 0; i < 3; i++)
            ms = ms * 10 + (i < n ? text[i] - '0' : 0);
        if (n == 0)
            return GTM_EINVAL;
        text += n;
    }
    if (!read_offset(&text, &offset) || *text)
        return GTM_EINVAL;
    int64_t s = day_number(d) * 86400 + hour * 3600 + minute * 60 + second - offset;
    int64_t result = s * 1000 + ms;
    if (out)
        memcpy(out, &result, sizeof(result));
    return GTM_OK;
}

const struct gtm_form gtm_form_time = {
    .what = "a time with its zone such as 2026-12-01T18:00:00Z",
    .pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?"
               "([Zz]|[+-][0-9]{2}:[0-9]{2})$",
    .parse = parse_time,
};

/* --- cron --- */

static const char *const months[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                     "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
static const char *const weekdays[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};

static const struct cron_field {
    const char *what;
    int min, max;
    const char *const *words;
    int words_count;
} cron_fields[5] = {
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of the month", 1, 31, NULL, 0},
    {"month", 1, 12, months, 12},
    {"day of the week", 0, 7, weekdays, 7},
};

/* A number or a three-letter word; -1 when it is neither or out of range. */
static int cron_value(const struct cron_field *f, const char **s)
{
    for (int i = 0; i < f->words_count; i++) {
        if (strncasecmp(*s, f->words[i], 3) == 0) {
            *s += 3;
            return f->min + i;
        }
    }
    int value = 0, n = 0;
    for (; **s >= '0' && **s <= '9' && n < 3; (*s)++, n++)
        value = value * 10 + (**s - '0');
    return n == 0 || value < f->min || value > f->max ? -1 : value;
}

/* "*", "5", "1-5", "MON,WED", "*\/10" */
static bool cron_check(const struct cron_field *f, const char *s)
{
    do {
        if (*s == '*') {
            s++;
        } else {
            int from = cron_value(f, &s);
            int to = from >= 0 && step(&s, '-') ? cron_value(f, &s) : from;
            if (from < 0 || to < from)
                return false;
        }
        if (step(&s, '/')) {
            int every = 0, n = 0;
            for (; *s >= '0' && *s <= '9' && n < 3; s++, n++)
                every = every * 10 + (*s - '0');
            if (n == 0 || every < 1 || every > f->max)
                return false;
        }
    } while (step(&s, ','));
    return *s == '\0';
}

static int parse_cron(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    char field[64];
    unsigned count = 0;
    while (*(text += strspn(text, " "))) {
        size_t len = strcspn(text, " ");
        if (count == 5 || len >= sizeof(field))
            return GTM_EINVAL;
        memcpy(field, text, len);
        field[len] = '\0';
        if (!cron_check(&cron_fields[count], field))
            return gtm_error_set(err, GTM_EINVAL, "'%s' is not a %s (%d to %d, '*', lists, steps)",
                                 field, cron_fields[count].what, cron_fields[count].min,
                                 cron_fields[count].max);
        count++;
        text += len;
    }
    return count == 5 ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_cron = {
    .what = "five cron fields (minute, hour, day, month, weekday) such as \"0 9 * * TUE\"",
    .pattern = "^ *[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ *$",
    .heap = true,
    .parse = parse_cron,
};

/* --- weekly spans and time zones --- */

/* Minutes since midnight; 24:00 is allowed. */
static int read_clock(const char **s)
{
    int hour = digits(s, 2);
    if (hour < 0 || !step(s, ':'))
        return -1;
    int minute = digits(s, 2);
    return minute < 0 || minute > 59 || hour * 60 + minute > 1440 ? -1 : hour * 60 + minute;
}

static int parse_weekly(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    char days[64];
    size_t len = strcspn(text, " ");
    if (len == 0 || len >= sizeof(days) || text[len] != ' ')
        return GTM_EINVAL;
    memcpy(days, text, len);
    days[len] = '\0';
    if (strpbrk(days, "/*0123456789") || !cron_check(&cron_fields[4], days))
        return GTM_EINVAL;
    text += len + 1;
    int from = read_clock(&text);
    int to = from >= 0 && step(&text, '-') ? read_clock(&text) : -1;
    return to > from && *text == '\0' ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_weekly = {
    .what = "a weekly span such as \"FRI 16:00-24:00\" or \"MON-FRI 08:00-18:00\"",
    .pattern = "^[A-Za-z,-]+ [0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$",
    .heap = true,
    .parse = parse_weekly,
};

static int parse_timezone(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    size_t len = strlen(text);
    if (len == 0 || len > 64 || !isalpha((unsigned char)text[0]) || strstr(text, "//") ||
        text[len - 1] == '/')
        return GTM_EINVAL;
    for (; *text; text++) {
        if (!isalnum((unsigned char)*text) && !strchr("/_+-", *text))
            return GTM_EINVAL;
    }
    return GTM_OK;
}

const struct gtm_form gtm_form_timezone = {
    .what = "a time zone such as Europe/Dublin or UTC",
    .pattern = "^[A-Za-z][A-Za-z0-9/_+-]{0,63}$",
    .heap = true,
    .parse = parse_timezone,
};
