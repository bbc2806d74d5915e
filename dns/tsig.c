/* SPDX-License-Identifier: Apache-2.0
 *
 * Transaction signatures; see tsig.h. Happy path: the last record is found and taken apart, the key
 * is known, the MAC over (MAC before, message without the record, the record's variables) agrees,
 * the time is near. Failures are verdicts in the order of RFC 8945 5.2: form, key, MAC, time,
 * truncation. Pure.
 */
#include "dns/tsig.h"

#include "dns/rr.h"

#include <string.h>

enum { ERROR_BADSIG = 16, ERROR_BADKEY = 17, ERROR_BADTIME = 18, ERROR_BADTRUNC = 22 };
enum { MAC_MIN = 10 }; /* octets, 5.2.2.1 */

static const struct {
    uint8_t len;
    const char *wire;
} algorithms[DNS_TSIG_ALGORITHMS] = {
    {11, "\x09hmac-sha1"},   {13, "\x0bhmac-sha224"}, {13, "\x0bhmac-sha256"},
    {13, "\x0bhmac-sha384"}, {13, "\x0bhmac-sha512"},
};

/* A TSIG record as it stands in a message. */
struct record {
    size_t at; /* of its owner name */
    uint8_t name[DNS_NAME_MAX];
    uint8_t name_len;
    const uint8_t *algorithm;
    uint8_t algorithm_len;
    uint64_t time_s;
    uint16_t fudge;
    const uint8_t *mac;
    uint16_t mac_len;
    uint16_t original_id, error;
    const uint8_t *other;
    uint16_t other_len;
};

static uint64_t get48(const uint8_t *p)
{
    return (uint64_t)dns_get16(p) << 32 | dns_get32(p + 2);
}

static void put48(uint8_t *p, uint64_t v)
{
    dns_put16(p, (uint16_t)(v >> 32));
    dns_put32(p + 2, (uint32_t)v);
}

/* ---- finding and reading the record ---- */

/* The name at msg[at], decompressed into out. Pointers must lead back, each further than the one
 * before, so it ends. Returns the offset behind it, 0 = malformed. */
static size_t read_name(const uint8_t *msg, size_t len, size_t at, uint8_t out[DNS_NAME_MAX],
                        uint8_t *ret_len)
{
    size_t n = 0, end = 0, barrier = at;

    while (at < len) {
        uint8_t c = msg[at];
        if ((c & 0xc0) == 0xc0) {
            if (at + 2 > len)
                return 0;
            size_t to = dns_get16(msg + at) & 0x3fffu;
            if (end == 0)
                end = at + 2;
            if (to >= barrier)
                return 0;
            at = barrier = to;
            continue;
        }
        if (c > DNS_LABEL_MAX || at + 1 + c > len || n + 1 + c > DNS_NAME_MAX - (c != 0))
            return 0;
        memcpy(out + n, msg + at, 1u + c);
        n += 1u + c;
        at += 1u + c;
        if (c == 0) {
            *ret_len = (uint8_t)n;
            return end != 0 ? end : at;
        }
    }
    return 0;
}

static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
    for (size_t from = at; at < len && at - from < DNS_NAME_MAX; at += msg[at] + 1u) {
        if (msg[at] == 0)
            return at + 1;
        if ((msg[at] & 0xc0) == 0xc0)
            return at + 2 <= len ? at + 2 : 0;
        if (msg[at] > DNS_LABEL_MAX)
            return 0;
    }
    return 0;
}

/* NONE, or GOOD with the offsets of the record's owner and of its type. */
static enum dns_tsig_verdict find_record(const uint8_t *msg, size_t len, size_t *ret_at,
                                         size_t *ret_type)
{
    if (len < 12 || len > UINT16_MAX)
        return DNS_TSIG_FORMERR;
    unsigned questions = dns_get16(msg + 4), additional = dns_get16(msg + 10);
    unsigned records = dns_get16(msg + 6) + dns_get16(msg + 8) + additional;
    size_t at = 12;
    for (unsigned i = 0; i < questions; i++) {
        at = skip_name(msg, len, at);
        if (at == 0 || len - at < 4)
            return DNS_TSIG_FORMERR;
        at += 4;
    }
    for (unsigned i = 0; i < records; i++) {
        *ret_at = at;
        at = skip_name(msg, len, at);
        if (at == 0 || len - at < 10 || len - at - 10 < dns_get16(msg + at + 8))
            return DNS_TSIG_FORMERR;
        *ret_type = at;
        at += 10u + dns_get16(msg + at + 8);
        if (dns_get16(msg + *ret_type) != DNS_TYPE_TSIG)
            continue;
        return i == records - 1 && additional > 0 && at == len ? DNS_TSIG_GOOD : DNS_TSIG_FORMERR;
    }
    return at == len ? DNS_TSIG_NONE : DNS_TSIG_FORMERR;
}

/* Takes the rdata apart (4.2). */
static bool read_rdata(struct record *r, const uint8_t *rdata, size_t len)
{
    size_t at = dns_name_check(rdata, len);

    if (at == 0 || len - at < 10)
        return false;
    r->algorithm = rdata;
    r->algorithm_len = (uint8_t)at;
    r->time_s = get48(rdata + at);
    r->fudge = dns_get16(rdata + at + 6);
    r->mac_len = dns_get16(rdata + at + 8);
    r->mac = rdata + at + 10;
    at += 10;
    if (len - at < r->mac_len || len - at - r->mac_len < 6)
        return false;
    at += r->mac_len;
    r->original_id = dns_get16(rdata + at);
    r->error = dns_get16(rdata + at + 2);
    r->other_len = dns_get16(rdata + at + 4);
    r->other = rdata + at + 6;
    return len - at - 6 == r->other_len;
}

static enum dns_tsig_verdict read_record(struct record *r, const uint8_t *msg, size_t len)
{
    size_t type;
    enum dns_tsig_verdict v = find_record(msg, len, &r->at, &type);

    if (v != DNS_TSIG_GOOD)
        return v;
    if (read_name(msg, len, r->at, r->name, &r->name_len) == 0 ||
        dns_get16(msg + type + 2) != DNS_CLASS_ANY || dns_get32(msg + type + 4) != 0 ||
        !read_rdata(r, msg + type + 10, dns_get16(msg + type + 8)))
        return DNS_TSIG_FORMERR;
    return DNS_TSIG_GOOD;
}

/* ---- digests (4.3) ---- */

static void digest_start(struct dns_hmac *h, const struct dns_tsig_key *key)
{
    dns_hmac_start(h, (enum dns_hmac_hash)key->algorithm, key->secret, key->secret_len);
}

static void digest_mac(struct dns_hmac *h, const struct dns_tsig *tsig)
{
    uint8_t len[2] = {0, tsig->mac_len};

    dns_hmac_add(h, len, 2);
    dns_hmac_add(h, tsig->mac, tsig->mac_len);
}

/* The message as it was before the record came: its first id, its count. */
static void digest_message(struct dns_hmac *h, const uint8_t *msg, size_t len, uint16_t id,
                           unsigned additional)
{
    uint8_t header[12];

    memcpy(header, msg, 12);
    dns_put16(header, id);
    dns_put16(header + 10, (uint16_t)additional);
    dns_hmac_add(h, header, 12);
    dns_hmac_add(h, msg + 12, len - 12);
}

static void digest_timers(struct dns_hmac *h, uint64_t time_s, uint16_t fudge)
{
    uint8_t timers[8];

    put48(timers, time_s);
    dns_put16(timers + 6, fudge);
    dns_hmac_add(h, timers, 8);
}

static void digest_variables(struct dns_hmac *h, const struct record *r)
{
    static const uint8_t class_ttl[6] = {0, DNS_CLASS_ANY, 0, 0, 0, 0};
    uint8_t name[DNS_NAME_MAX], tail[4];

    dns_hmac_add(h, name, dns_name_lower(r->name, name));
    dns_hmac_add(h, class_ttl, 6);
    dns_hmac_add(h, name, dns_name_lower(r->algorithm, name));
    digest_timers(h, r->time_s, r->fudge);
    dns_put16(tail, r->error);
    dns_put16(tail + 2, r->other_len);
    dns_hmac_add(h, tail, 4);
    dns_hmac_add(h, r->other, r->other_len);
}

/* Equal, in a time that does not depend on where they differ. */
static bool same_mac(const uint8_t *a, const uint8_t *b, unsigned len)
{
    unsigned diff = 0;

    for (unsigned i = 0; i < len; i++)
        diff |= (unsigned)(a[i] ^ b[i]);
    return diff == 0;
}

/* Ends the digest and compares as much as came (5.2.2, 5.2.2.1). */
static enum dns_tsig_verdict check_mac(struct dns_hmac *h, const struct record *r)
{
    uint8_t mac[DNS_HMAC_MAX];

    dns_hmac_end(h, mac);
    return same_mac(mac, r->mac, r->mac_len) ? DNS_TSIG_GOOD : DNS_TSIG_BADSIG;
}

static bool mac_length_legal(const struct dns_tsig_key *key, unsigned len)
{
    unsigned whole = dns_hmac_bytes((enum dns_hmac_hash)key->algorithm);

    return len <= whole && len >= MAC_MIN && len >= whole / 2;
}

/* What remains when the MAC was right: time, then our policy of truncation. */
static enum dns_tsig_verdict check_policy(const struct dns_tsig_key *key, const struct record *r,
                                          uint64_t now_s)
{
    uint64_t off = now_s > r->time_s ? now_s - r->time_s : r->time_s - now_s;

    if (off > r->fudge)
        return DNS_TSIG_BADTIME;
    return r->mac_len < key->mac_min ? DNS_TSIG_BADTRUNC : DNS_TSIG_GOOD;
}

static void keep_mac(struct dns_tsig *tsig, const uint8_t *mac, unsigned len)
{
    memcpy(tsig->mac, mac, len);
    tsig->mac_len = (uint8_t)len;
}

/* ---- server ---- */

static const struct dns_tsig_key *find_key(const struct record *r,
                                           const struct dns_tsig_key *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (dns_name_equal(r->name, keys[i]->name) &&
            dns_name_equal(r->algorithm, (const uint8_t *)algorithms[keys[i]->algorithm].wire))
            return keys[i];
    return NULL;
}

static enum dns_tsig_verdict judge_request(struct dns_tsig *tsig, const struct record *r,
                                           const uint8_t *msg, uint64_t now_s)
{
    struct dns_hmac h;

    if (tsig->key == NULL)
        return DNS_TSIG_BADKEY;
    if (!mac_length_legal(tsig->key, r->mac_len))
        return DNS_TSIG_FORMERR;
    digest_start(&h, tsig->key);
    digest_message(&h, msg, r->at, r->original_id, dns_get16(msg + 10) - 1u);
    digest_variables(&h, r);
    enum dns_tsig_verdict v = check_mac(&h, r);
    if (v != DNS_TSIG_GOOD)
        return v;
    keep_mac(tsig, r->mac, r->mac_len);
    return check_policy(tsig->key, r, now_s);
}

enum dns_tsig_verdict dns_tsig_check_request(struct dns_tsig *tsig,
                                             const struct dns_tsig_key *const *keys,
                                             size_t keys_count, const uint8_t *msg, size_t len,
                                             uint64_t now_s, size_t *ret_len)
{
    static const uint16_t errors[] = {
        [DNS_TSIG_BADKEY] = ERROR_BADKEY,
        [DNS_TSIG_BADSIG] = ERROR_BADSIG,
        [DNS_TSIG_BADTIME] = ERROR_BADTIME,
        [DNS_TSIG_BADTRUNC] = ERROR_BADTRUNC,
    };
    struct record r;

    memset(tsig, 0, sizeof(*tsig));
    *ret_len = len;
    enum dns_tsig_verdict v = read_record(&r, msg, len);
    if (v != DNS_TSIG_GOOD)
        return v;
    *ret_len = r.at;
    tsig->key = find_key(&r, keys, keys_count);
    v = judge_request(tsig, &r, msg, now_s);
    if (v == DNS_TSIG_FORMERR)
        return v;
    memcpy(tsig->key_name, r.name, r.name_len);
    tsig->key_name_len = r.name_len;
    memcpy(tsig->algorithm_name, r.algorithm, r.algorithm_len);
    tsig->algorithm_name_len = r.algorithm_len;
    tsig->original_id = r.original_id;
    tsig->time_s = r.time_s;
    tsig->error = errors[v];
    return v;
}

/* Is the record that goes out without a MAC? (5.3.2) */
static bool goes_unsigned(const struct dns_tsig *tsig)
{
    return tsig->key == NULL || tsig->error == ERROR_BADSIG || tsig->error == ERROR_BADKEY;
}

size_t dns_tsig_room(const struct dns_tsig *tsig)
{
    if (tsig->key_name_len == 0)
        return 0;
    unsigned mac =
        goes_unsigned(tsig) ? 0 : dns_hmac_bytes((enum dns_hmac_hash)tsig->key->algorithm);
    return tsig->key_name_len + 10u + tsig->algorithm_name_len + 16u + mac +
           (tsig->error == ERROR_BADTIME ? 6u : 0u);
}

/* Appends the record; its lengths were checked by dns_tsig_room. */
static size_t put_record(const struct record *r, uint8_t *msg, size_t len)
{
    uint8_t *p = msg + len;
    unsigned rdlen = r->algorithm_len + 16u + r->mac_len + r->other_len;

    memcpy(p, r->name, r->name_len);
    p += r->name_len;
    dns_put16(p, DNS_TYPE_TSIG);
    dns_put16(p + 2, DNS_CLASS_ANY);
    dns_put32(p + 4, 0);
    dns_put16(p + 8, (uint16_t)rdlen);
    p += 10;
    memcpy(p, r->algorithm, r->algorithm_len);
    p += r->algorithm_len;
    put48(p, r->time_s);
    dns_put16(p + 6, r->fudge);
    dns_put16(p + 8, r->mac_len);
    p += 10;
    if (r->mac_len > 0)
        memcpy(p, r->mac, r->mac_len);
    p += r->mac_len;
    dns_put16(p, r->original_id);
    dns_put16(p + 2, r->error);
    dns_put16(p + 4, r->other_len);
    p += 6;
    if (r->other_len > 0)
        memcpy(p, r->other, r->other_len);
    dns_put16(msg + 10, (uint16_t)(dns_get16(msg + 10) + 1));
    return (size_t)(p - msg) + r->other_len;
}

/* Computes the MAC over what was prepared in r and keeps it for the next message. */
static void sign(struct dns_tsig *tsig, struct dns_hmac *h, struct record *r, const uint8_t *msg,
                 size_t len)
{
    digest_message(h, msg, len, r->original_id, dns_get16(msg + 10));
    if (tsig->messages == 0)
        digest_variables(h, r);
    else
        digest_timers(h, r->time_s, r->fudge);
    dns_hmac_end(h, tsig->mac);
    tsig->mac_len = (uint8_t)dns_hmac_bytes((enum dns_hmac_hash)tsig->key->algorithm);
    r->mac = tsig->mac;
    r->mac_len = tsig->mac_len;
}

static void own_record(const struct dns_tsig *tsig, struct record *r, uint64_t now_s)
{
    memset(r, 0, sizeof(*r));
    memcpy(r->name, tsig->key_name, tsig->key_name_len);
    r->name_len = tsig->key_name_len;
    r->algorithm = tsig->algorithm_name;
    r->algorithm_len = tsig->algorithm_name_len;
    r->time_s = now_s;
    r->fudge = DNS_TSIG_FUDGE_S;
}

size_t dns_tsig_sign_answer(struct dns_tsig *tsig, uint8_t *msg, size_t len, size_t room,
                            uint64_t now_s)
{
    struct record r;
    uint8_t our_time[6];

    if (tsig->key_name_len == 0)
        return len;
    if (len < 12 || len > room || room - len < dns_tsig_room(tsig))
        return 0;
    own_record(tsig, &r, now_s);
    r.original_id = dns_get16(msg);
    r.error = tsig->error;
    if (tsig->error == ERROR_BADTIME) { /* 5.2.3: the client's time, and ours beside it */
        r.time_s = tsig->time_s;
        put48(our_time, now_s);
        r.other = our_time;
        r.other_len = 6;
    }
    if (!goes_unsigned(tsig)) {
        struct dns_hmac h;
        digest_start(&h, tsig->key);
        digest_mac(&h, tsig);
        sign(tsig, &h, &r, msg, len);
    }
    tsig->messages++;
    return put_record(&r, msg, len);
}

/* ---- client ---- */

void dns_tsig_fini(struct dns_tsig *tsig)
{
    explicit_bzero(tsig, sizeof(*tsig));
}

size_t dns_tsig_sign_request(struct dns_tsig *tsig, const struct dns_tsig_key *key, uint8_t *msg,
                             size_t len, size_t room, uint64_t now_s)
{
    struct dns_hmac h;
    struct record r;

    memset(tsig, 0, sizeof(*tsig));
    tsig->key = key;
    memcpy(tsig->key_name, key->name, key->name_len);
    tsig->key_name_len = key->name_len;
    tsig->algorithm_name_len = algorithms[key->algorithm].len;
    memcpy(tsig->algorithm_name, algorithms[key->algorithm].wire, tsig->algorithm_name_len);
    tsig->time_s = now_s;
    if (len < 12 || len > room || room - len < dns_tsig_room(tsig))
        return 0;
    own_record(tsig, &r, now_s);
    r.original_id = tsig->original_id = dns_get16(msg);
    digest_start(&h, key);
    sign(tsig, &h, &r, msg, len);
    return put_record(&r, msg, len);
}

/* An answer that says why it is not signed, or the MAC of one that is (5.3.2, 5.4). */
static enum dns_tsig_verdict judge_answer(struct dns_tsig *tsig, const struct record *r,
                                          const uint8_t *msg, uint64_t now_s)
{
    struct dns_hmac h;

    if (!dns_name_equal(r->name, tsig->key_name) ||
        !dns_name_equal(r->algorithm, tsig->algorithm_name))
        return DNS_TSIG_BADKEY;
    tsig->error = r->error;
    if (r->mac_len == 0 && (r->error == ERROR_BADKEY || r->error == ERROR_BADSIG))
        return r->error == ERROR_BADKEY ? DNS_TSIG_BADKEY : DNS_TSIG_BADSIG;
    if (!mac_length_legal(tsig->key, r->mac_len))
        return DNS_TSIG_FORMERR;
    if (tsig->unsigned_count > 0) {
        h = tsig->pending;
    } else {
        digest_start(&h, tsig->key);
        digest_mac(&h, tsig);
    }
    digest_message(&h, msg, r->at, r->original_id, dns_get16(msg + 10) - 1u);
    if (tsig->messages == 0)
        digest_variables(&h, r);
    else
        digest_timers(&h, r->time_s, r->fudge);
    enum dns_tsig_verdict v = check_mac(&h, r);
    if (v != DNS_TSIG_GOOD)
        return v;
    if (r->error == ERROR_BADTIME) {
        tsig->peer_time_s = r->other_len == 6 ? get48(r->other) : 0;
        return DNS_TSIG_BADTIME;
    }
    if (r->error != 0)
        return r->error == ERROR_BADTRUNC ? DNS_TSIG_BADTRUNC : DNS_TSIG_BADSIG;
    keep_mac(tsig, r->mac, r->mac_len);
    return check_policy(tsig->key, r, now_s);
}

static enum dns_tsig_verdict take_unsigned(struct dns_tsig *tsig, const uint8_t *msg, size_t len,
                                           bool last)
{
    if (tsig->messages == 0 || last || tsig->unsigned_count >= DNS_TSIG_STREAM_GAP)
        return DNS_TSIG_NONE;
    if (tsig->unsigned_count == 0) {
        digest_start(&tsig->pending, tsig->key);
        digest_mac(&tsig->pending, tsig);
    }
    dns_hmac_add(&tsig->pending, msg, len);
    tsig->unsigned_count++;
    tsig->messages++;
    return DNS_TSIG_GOOD;
}

enum dns_tsig_verdict dns_tsig_check_answer(struct dns_tsig *tsig, const uint8_t *msg, size_t len,
                                            bool last, uint64_t now_s, size_t *ret_len)
{
    struct record r;

    *ret_len = len;
    enum dns_tsig_verdict v = read_record(&r, msg, len);
    if (v == DNS_TSIG_NONE)
        return take_unsigned(tsig, msg, len, last);
    if (v != DNS_TSIG_GOOD)
        return v;
    *ret_len = r.at;
    v = judge_answer(tsig, &r, msg, now_s);
    if (v != DNS_TSIG_GOOD)
        return v;
    tsig->unsigned_count = 0;
    tsig->messages++;
    return DNS_TSIG_GOOD;
}
