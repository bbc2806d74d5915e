/* SPDX-License-Identifier: Apache-2.0
 *
 * See balance.h. A step: shares by present weights → wanted shares by reports → a bounded move from
 * one to the other among those that reported → weights again. Pure.
 */
#include "policies/balance.h"

#include <math.h>
#include <stdio.h>

#define SMOOTH        0.1 /* of a new report, for ewma */
#define SCORE_CONNS   0.3
#define SCORE_LATENCY 0.7
#define LATENCY_MIN   0.1 /* ms: below it a clock says more than a server does */
#define STRIDE        2.0 /* wanted shares are at most so many times the estimated ones, or less by it */
#define COOL          0.95 /* a hot one is to come down to so much of the mark */
#define WEIGHT_MAX    65535.0

/* One step under way. Shares are of all users; the movable ones have `mass` of them. */
struct step {
    struct policy_balance_endpoint *e;
    size_t count;
    const struct policy_balance_rules *rules;
    double total;                     /* weight × factor of all that serve */
    double mass;                      /* share of those that may move */
    bool all_capacity;                /* known for all that may move */
    double mean_connections, mean_ms; /* of those that may move, for ewma */
};

static bool is_member(const struct policy_balance_endpoint *e)
{
    return e->serves && e->configured > 0;
}

/* Has it reported what the kind needs? */
static bool is_movable(const struct step *s, const struct policy_balance_endpoint *e)
{
    bool connections = isfinite(e->connections) && e->connections >= 0;
    bool latency = isfinite(e->latency_ms) && e->latency_ms >= 0;
    if (!is_member(e) || e->factor < 1)
        return false;
    switch (s->rules->kind) {
    case GTM_STEER_LEAST_CONNECTIONS:
        return connections;
    case GTM_STEER_RESPONSE_TIME:
        return latency;
    case GTM_STEER_EWMA:
        return connections && latency;
    default:
        return false;
    }
}

static double share_of(const struct step *s, const struct policy_balance_endpoint *e)
{
    return is_member(e) && s->total > 0 ? e->weight * e->factor / s->total : 0;
}

/* Gives weights to those that have none, in the scale of the others. */
static void start_weights(const struct step *s)
{
    double weights = 0, configured = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->e[i].weight == 0)
            continue;
        weights += s->e[i].weight;
        configured += s->e[i].configured;
    }
    if (weights <= 0 || configured <= 0) {
        weights = configured = 0;
        for (size_t i = 0; i < s->count; i++) {
            configured += s->e[i].configured;
            weights += POLICY_BALANCE_WEIGHT;
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        double weight = configured > 0 ? s->e[i].configured * weights / configured : 1;
        if (s->e[i].weight == 0)
            s->e[i].weight = weight < 1 ? 1 : weight > WEIGHT_MAX ? 65535 : (uint32_t)weight;
    }
}

/* Users follow the weights with the lag. At the very start they are where the weights say. */
static void follow_users(const struct step *s)
{
    double known = 0;
    for (size_t i = 0; i < s->count; i++)
        known += s->e[i].users;
    double lag = s->rules->lag_ms > 0 ? (double)s->rules->lag_ms : 1;
    double part = known > 0 ? 1 - exp(-(double)s->rules->elapsed_ms / lag) : 1;
    for (size_t i = 0; i < s->count; i++)
        s->e[i].users += part * (share_of(s, &s->e[i]) - s->e[i].users);
}

static double capacity_of(const struct step *s, const struct policy_balance_endpoint *e)
{
    return s->all_capacity ? e->capacity : e->configured;
}

static void smooth(double *mean, double value)
{
    *mean = *mean > 0 ? *mean + SMOOTH * (value - *mean) : value;
}

/* Sums over those that may move; returns how many. */
static size_t survey(struct step *s)
{
    size_t movable = 0;
    s->all_capacity = true;
    for (size_t i = 0; i < s->count; i++)
        if (is_member(&s->e[i]))
            s->total += s->e[i].weight * s->e[i].factor;
    for (size_t i = 0; i < s->count; i++) {
        struct policy_balance_endpoint *e = &s->e[i];
        if (!is_movable(s, e))
            continue;
        movable++;
        s->mass += share_of(s, e);
        s->all_capacity &= e->capacity > 0;
        if (s->rules->kind != GTM_STEER_EWMA)
            continue;
        smooth(&e->mean_connections, e->connections);
        smooth(&e->mean_ms, fmax(e->latency_ms, LATENCY_MIN));
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct policy_balance_endpoint *e = &s->e[i];
        if (!is_movable(s, e))
            continue;
        s->mean_connections += e->mean_connections / capacity_of(s, e) / (double)movable;
        s->mean_ms += e->mean_ms / (double)movable;
    }
    return movable;
}

/* What its share should be, up to a factor that is the same for all. */
static double wish_of(const struct step *s, const struct policy_balance_endpoint *e)
{
    double per_user;
    switch (s->rules->kind) {
    case GTM_STEER_LEAST_CONNECTIONS:
        /* its users have so many connections; how many users make them equal? */
        return e->users * capacity_of(s, e) / (e->connections + 1);
    case GTM_STEER_RESPONSE_TIME:
        return e->configured / fmax(e->latency_ms, LATENCY_MIN);
    default:
        per_user = SCORE_LATENCY * e->mean_ms / s->mean_ms;
        if (s->mean_connections > 0)
            per_user += SCORE_CONNS * e->mean_connections / capacity_of(s, e) / s->mean_connections;
        return e->configured / per_user;
    }
}

/* Wanted shares of those that may move. */
struct wants {
    double wished;  /* sum of wishes */
    double cold;    /* wanted shares of those below their caps, before they take the surplus */
    double surplus; /* of the others */
    size_t hot;
};

static bool knows_load(const struct step *s, const struct policy_balance_endpoint *e)
{
    return isfinite(e->load) && e->load > 0 && s->rules->high > 0;
}

static bool is_hot(const struct step *s, const struct policy_balance_endpoint *e)
{
    return is_movable(s, e) && knows_load(s, e) && e->load > s->rules->high;
}

/* By the reports, in strides. */
static double plain_want(const struct step *s, const struct wants *w,
                         const struct policy_balance_endpoint *e)
{
    double want = w->wished > 0 ? s->mass * wish_of(s, e) / w->wished : share_of(s, e);
    if (e->users <= 0)
        return want;
    return fmin(fmax(want, e->users / STRIDE), e->users * STRIDE);
}

/* What would bring it to the mark, by what its users make of it now. */
static double cap_of(const struct step *s, const struct policy_balance_endpoint *e)
{
    return knows_load(s, e) && e->users > 0 ? e->users * COOL * s->rules->high / e->load : INFINITY;
}

/* When all are at their caps nobody can help anybody. */
static double want_of(const struct step *s, const struct wants *w,
                      const struct policy_balance_endpoint *e)
{
    double want = plain_want(s, w, e), cap = cap_of(s, e);
    if (w->cold <= 0)
        return share_of(s, e);
    return want >= cap ? cap : fmin(want * (1 + w->surplus / w->cold), cap);
}

static void wants_init(const struct step *s, struct wants *w)
{
    *w = (struct wants){.hot = 0};
    for (size_t i = 0; i < s->count; i++)
        if (is_movable(s, &s->e[i]))
            w->wished += wish_of(s, &s->e[i]);
    for (size_t i = 0; i < s->count; i++) {
        const struct policy_balance_endpoint *e = &s->e[i];
        if (!is_movable(s, e))
            continue;
        w->hot += is_hot(s, e);
        double want = plain_want(s, w, e), cap = cap_of(s, e);
        if (want >= cap)
            w->surplus += want - cap;
        else
            w->cold += want;
    }
}

static double imbalance_of(const struct step *s, const struct wants *w, double sum)
{
    double worst = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!is_movable(s, &s->e[i]))
            continue;
        double want = want_of(s, w, &s->e[i]) * s->mass / sum;
        if (want > 0)
            worst = fmax(worst, fabs(share_of(s, &s->e[i]) / want - 1));
    }
    return worst;
}

/* Moves `part` of the way, or as far as the bound allows. */
static void move(struct step *s, const struct wants *w, double sum, double part,
                 struct policy_balance_result *ret)
{
    double elapsed = (double)s->rules->elapsed_ms / POLICY_BALANCE_MOVE_MS;
    double bound = POLICY_BALANCE_MOVE * fmin(elapsed, 1), way = 0, weights = 0, shares = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!is_movable(s, &s->e[i]))
            continue;
        way += fabs(want_of(s, w, &s->e[i]) * s->mass / sum - share_of(s, &s->e[i])) / 2;
        weights += s->e[i].weight;
        shares += share_of(s, &s->e[i]);
    }
    if (way <= 0 || shares <= 0)
        return;
    part = fmin(part, bound / way);
    double total = s->total; /* share_of needs the weights as they were */
    for (size_t i = 0; i < s->count; i++) {
        struct policy_balance_endpoint *e = &s->e[i];
        if (!is_movable(s, e))
            continue;
        double share = e->weight * e->factor / total;
        share += part * (want_of(s, w, e) * s->mass / sum - share);
        double weight = round(share / shares * weights);
        uint32_t whole = weight < 1 ? 1 : weight > WEIGHT_MAX ? 65535 : (uint32_t)weight;
        ret->changed |= whole != e->weight;
        e->weight = whole;
    }
    ret->moved = part * way;
}

void policy_balance_step(struct policy_balance_endpoint *endpoints, size_t count,
                         const struct policy_balance_rules *rules,
                         struct policy_balance_result *ret)
{
    struct step s = {.e = endpoints, .count = count, .rules = rules};
    struct wants w;
    double sum = 0;
    *ret = (struct policy_balance_result){.hot = 0};
    start_weights(&s);
    ret->reported = survey(&s);
    follow_users(&s);
    if (ret->reported < 2)
        return;
    wants_init(&s, &w);
    for (size_t i = 0; i < count; i++)
        if (is_movable(&s, &endpoints[i]))
            sum += want_of(&s, &w, &endpoints[i]);
    if (sum <= 0 || !isfinite(sum))
        return;
    ret->hot = w.hot;
    ret->imbalance = imbalance_of(&s, &w, sum);
    bool heat = w.hot > 0 && w.cold > 0;
    if (ret->imbalance <= POLICY_BALANCE_IDLE && !heat)
        return;
    double lag = rules->lag_ms > 0 ? (double)rules->lag_ms : 1;
    move(&s, &w, sum, heat ? 1 : 1 - exp(-(double)rules->elapsed_ms / lag), ret);
}

const char *policy_balance_say(const struct policy_balance_result *r, char out[POLICY_BALANCE_TEXT])
{
    if (r->reported < 2)
        snprintf(out, POLICY_BALANCE_TEXT, "fewer than two endpoints report: weights stay");
    else if (r->moved > 0 && r->hot > 0)
        snprintf(out, POLICY_BALANCE_TEXT, "%zu hot: moves %.2g %% of the users", r->hot,
                 r->moved * 100);
    else if (r->moved > 0)
        snprintf(out, POLICY_BALANCE_TEXT, "imbalance %.0f %%: moves %.2g %% of the users",
                 r->imbalance * 100, r->moved * 100);
    else if (r->hot > 0)
        snprintf(out, POLICY_BALANCE_TEXT, "all %zu are hot: nobody can take more", r->hot);
    else
        snprintf(out, POLICY_BALANCE_TEXT, "balanced within %.0f %% (now %.0f %%)",
                 POLICY_BALANCE_IDLE * 100, r->imbalance * 100);
    return out;
}
