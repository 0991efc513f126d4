/* Values with units, as people write them; base units inside.
 *
 *     unit               base       written as                                   bare number
 *     TR_UNIT_BYTES      byte       80GiB 4kB 1.5MB 512B 2TiB                    yes: bytes
 *     TR_UNIT_BYTES_S    byte/s     400Gb/s (bits!) 3.35TB/s 12GiB/s 100Mbit/s   no
 *     TR_UNIT_TIME       s          30d 2h 15min 90s 250ms 3us 40ns              no
 *     TR_UNIT_COUNT      1          124M 1.5B 300B 10k 2T                        yes
 *     TR_UNIT_FLOP       flop       3.1e23FLOP 5PFLOP                            no
 *     TR_UNIT_FLOP_S     flop/s     989TFLOP/s 312TFLOPS 1.2EFLOP/s 624TOP/s     no
 *     TR_UNIT_USD        $          $2.50 1.2M$ 300kUSD 2M                       yes
 *     TR_UNIT_USD_H      $/h        $2.50/h 2.5USD/h                             no
 *     TR_UNIT_POWER      W          700W 1.2kW 30MW                              no
 *     TR_UNIT_ENERGY     J          3.6MJ 1.2kWh 5GWh                            no
 *     TR_UNIT_HZ         Hz         1.98GHz                                      no
 *     TR_UNIT_RATIO      1          0.45 45%                                     yes
 *     TR_UNIT_AREA       mm2        814mm2                                       no
 *     TR_UNIT_CARBON     g/kWh      369g/kWh (grams of CO2 equivalent)           no
 *
 * A number is digits with at most one point and an exponent, not negative; one space may stand before the unit. Units
 * are exact about case where case means something (b is a bit, B a byte; k M G T P E; Ki Mi ...). A wrong or missing
 * unit is an error whose sentence says what is accepted. Base units that are whole (bytes, counts) have an int64
 * reader, exact: the count `1.5B` is 1500000000; `0.3B` of bytes is refused.
 *
 * Printing gives 3 to 4 significant digits and the largest prefix that keeps the number at 1 or above ("79.4 GiB",
 * "1.5 TB/s", "124 M"). What is printed reads back, and prints the same again, but for times of a minute and more, which are
 * said as people say them. Same bytes on every machine. */
#ifndef TR_BASE_QUANTITY_H
#define TR_BASE_QUANTITY_H

#include "base/err.h"

#include <stdint.h>

enum tr_unit {
    TR_UNIT_BYTES,
    TR_UNIT_BYTES_S,
    TR_UNIT_TIME,
    TR_UNIT_COUNT,
    TR_UNIT_FLOP,
    TR_UNIT_FLOP_S,
    TR_UNIT_USD,
    TR_UNIT_USD_H,
    TR_UNIT_POWER,
    TR_UNIT_ENERGY,
    TR_UNIT_HZ,
    TR_UNIT_RATIO,
    TR_UNIT_AREA,
    TR_UNIT_CARBON,
    TR_UNIT_COUNT_OF /* how many units there are */
};

enum { TR_QUANTITY_BYTES = 32 };

/* What the unit accepts, for help texts and errors: "a number of bytes such as 80GiB or 4kB". */
const char *tr_unit_hint(enum tr_unit unit);

/* TR_BAD_INPUT with a sentence: `"80Gb": expected a number of bytes such as 80GiB or 4kB`. */
TR_MUST_CHECK enum tr_status tr_parse_quantity(const char *text, enum tr_unit unit, double *out, struct tr_err *err);

/* Exact: the value must be a whole number that fits int64_t. Units TR_UNIT_BYTES and TR_UNIT_COUNT. */
TR_MUST_CHECK enum tr_status tr_parse_whole(const char *text, enum tr_unit unit, int64_t *out, struct tr_err *err);

/* Prints into buf and returns it. Negative values get a '-' (which parsing does not take); NaN prints as "nan". */
const char *tr_print_quantity(char buf[TR_QUANTITY_BYTES], enum tr_unit unit, double value);

/* The most used, by name. Link rates are printed in bytes/s; networks are quoted in bits: tr_print_bits_s. */
const char *tr_print_bytes(char buf[TR_QUANTITY_BYTES], int64_t bytes);   /* "79.4 GiB", "512 B" */
const char *tr_print_count(char buf[TR_QUANTITY_BYTES], int64_t count);   /* "124 M", "50.26 k", "768" */
const char *tr_print_flop_s(char buf[TR_QUANTITY_BYTES], double flop_s);  /* "989 TFLOP/s" */
const char *tr_print_bits_s(char buf[TR_QUANTITY_BYTES], double bytes_s); /* "400 Gb/s" */

/* The same with as many digits more as it takes to see on which side of another value it is: "690.04 k$" beside 690 k$, "5.02 days" beside
 * 5 days. */
const char *tr_print_beside(char buf[TR_QUANTITY_BYTES], enum tr_unit unit, double value, double beside);

/* "2d 03:04:05", "03:04:05", "04:05": for clocks and ETAs, rounded to seconds. Not read back. */
const char *tr_print_clock(char buf[TR_QUANTITY_BYTES], double seconds);

/* "12.3 ms", "16.14 s", "1 min 58.2 s", "21 min 58 s", "2 h 05 min", "12.3 days", "never" (infinite), "unknown" (NaN). */
const char *tr_print_time(char buf[TR_QUANTITY_BYTES], double seconds);

#endif
