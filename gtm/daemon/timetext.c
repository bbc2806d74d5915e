/* SPDX-License-Identifier: Apache-2.0
 *
 * See timetext.h.
 */
#include "gtm/daemon/timetext.h"

#include <stdbool.h>
#include <time.h>

/* Exactly `width` digits; moves *p. -1: something else. */
static int digits(const char **p, int width)
{
    int v = 0;
    for (int i = 0; i < width; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return -1;
        v = v * 10 + (**p - '0');
    }
    return v;
}

static bool eat(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

static bool eat_either(const char **p, char upper)
{
    return eat(p, upper) || eat(p, (char)(upper + 32));
}

/* ".123456" → 123; nothing → 0; -1: a dot without digits. */
static int fraction_ms(const char **p)
{
    if (!eat(p, '.'))
        return 0;
    int ms = 0, n = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++, n++)
        if (n < 3)
            ms = ms * 10 + (**p - '0');
    for (int i = n; i < 3; i++)
        ms *= 10;
    return n > 0 ? ms : -1;
}

/* "Z" or "+01:00" → minutes east; false: neither. */
static bool offset_min(const char **p, int *ret_min)
{
    *ret_min = 0;
    if (eat_either(p, 'Z'))
        return true;
    int sign = **p == '-' ? -1 : 1;
    if (!eat(p, '+') && !eat(p, '-'))
        return false;
    int h = digits(p, 2);
    bool colon = h >= 0 && eat(p, ':');
    int m = colon ? digits(p, 2) : -1;
    if (h < 0 || h > 23 || m < 0 || m > 59)
        return false;
    *ret_min = sign * (h * 60 + m);
    return true;
}

static bool day_exists(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

int gtm_time_parse(const char *text, int64_t *ret_wall_ms)
{
    const char *p = text;
    struct tm tm = {0};
    int year = digits(&p, 4);
    int month = year >= 0 && eat(&p, '-') ? digits(&p, 2) : -1;
    int day = month >= 0 && eat(&p, '-') ? digits(&p, 2) : -1;
    bool sep = day >= 0 && (eat_either(&p, 'T') || eat(&p, ' '));
    int hour = sep ? digits(&p, 2) : -1;
    int min = hour >= 0 && eat(&p, ':') ? digits(&p, 2) : -1;
    int sec = min >= 0 && eat(&p, ':') ? digits(&p, 2) : -1;
    int ms = sec >= 0 ? fraction_ms(&p) : -1, east = 0;
    if (ms < 0 || !offset_min(&p, &east) || *p)
        return GTM_EPARSE;
    if (!day_exists(year, month, day) || hour > 23 || min > 59 || sec > 60)
        return GTM_ERANGE;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = min;
    tm.tm_sec = sec;
    int64_t wall = ((int64_t)timegm(&tm) - (int64_t)east * 60) * 1000 + ms;
    if (wall < 0)
        return GTM_ERANGE;
    *ret_wall_ms = wall;
    return 0;
}
