"""Writes docs/spark.md from the registry of Spark's classes: `gen_spark_docs.py [FILE|-]`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from hydro_runtimes.spark.registry import STAGES, find_stage

ROOT = Path(__file__).resolve().parent.parent
# ruff: noqa: E501
HEAD = """# Spark ML models without Spark

A folder that Spark ML saved is served as it is: a `PipelineModel`, nested at any depth, or a single
model or transformer, saved by Spark 2.0 to 4.3 from Scala, Java or Python. No Spark, no Java.

    hydro score path/to/model rows.ndjson

## Saving a model for serving

    model.write().overwrite().save("models/spark/my_model")   # PySpark

Nothing else is needed. The columns that the model reads and adds, with their types,
sizes of vectors and names of nominal values, are derived from the saved stages; `hydro models show`
prints them. If you can, save the model without
the stages that only training needs; a StringIndexerModel of the label is skipped where the label is
missing, as in Spark.

A column whose type the saved pipeline does not tell is shown as `json`: it may be of any type that
Spark would take there (an input of a VectorAssembler may be a number, a boolean or a vector). Typed
callers state the type. In JSON each value has its own type, whatever the other rows are: a number with
a point or an exponent is a double, one without is a bigint, an object is a struct, null has no type.
That matters where nulls alone, or numbers without a point, do not tell the type: an Imputer gives an int
column whole numbers, and a FeatureHasher hashes 5 and 5.0 apart. State such types beside the model:

    {"inputs": [{"name": "tenure", "type": "int32"}]}         # models/spark/my_model/metadata.json

The type may also be one of Spark's SQL: `decimal(10,2)`, `date`, `timestamp`, `array<int>`,
`struct<a:int,b:string>`. If a statement does not take the types that follow from JSON, the row
fails with the line to write; nulls alone have no type and fit wherever the statement takes any. Send a
decimal with more digits than a double holds as a text.

Names that Spark keeps in the metadata of columns are derived through the stages. Those of an input are not
saved; where a stage needs them, loading says so with the line to write: `"elements": ["age", "income"]` are
the names of a vector's elements (VectorSlicer by names), `"nominal": ["no", "yes"]` those of the values of a
column (IndexToString without labels, OneHotEncoder of Spark 2).

The same file takes what a session would have set: `"ansi": false` (by default as in the Spark that saved
the model: false before 4.0) and `"timeZone": "Europe/Berlin"` (by default UTC).

Names of columns are not case-sensitive, as in Spark: a row may bring `age` for `AGE`. A row that
lacks some of the inputs has null in their place, as in what Spark writes as JSON; one that lacks all is
an error. `s.a` in inputCols is the field `a` of the column `s`, and `` `s.a` `` the column of that name;
this holds in every stage, for inputs and for columns that earlier stages make. A column that a stage makes
replaces one whose name differs only in case, also one that a row brings along.

Vectors are JSON arrays, `{"type": "dense", "values": [...]}`, or
`{"type": "sparse", "size": n, "indices": [...], "values": [...]}`, or as Spark writes them, with 0 for
sparse and 1 for dense. Decimals come out as numbers of JSON with all their digits, dates and timestamps
as texts, binary as base64, maps and structs as objects.

## Rows that fail and rows that are dropped

A row that Spark would refuse (an unseen label with handleInvalid=error, NaN outside all buckets, ...)
is answered in its place by an error that names the stage, the column and the value; all other rows
are answered. A row that Spark would leave out (handleInvalid=skip, WHERE, coldStartStrategy=drop) is
answered as dropped: `null` from `hydro score`, an error with the reason ROW_DROPPED in a pipeline.

## What may be around it, and what is refused

A folder is served as other tools made it, and the only model in a folder is that folder's:

- MLflow: `MLmodel` with the flavor `spark`, or a `python_function` of `mlflow.spark`. The types in its
  signature (boolean, integer, long, float, double, string) count as stated; metadata.json takes
  precedence.
- SparkR: `rMetadata` beside the pipeline. Answers have all columns of the pipeline; SparkR's `predict`
  leaves out some.

What cannot be served is refused when it is loaded, with what it is and the way out: a Pipeline, search or
estimator that is not fitted (`pipeline.fit(df).write().overwrite().save(path)`), a model of `spark.mllib`
(train it again with spark.ml), a class of another library or of your own (its code is not in the save: put
what it does into a `model.py` between two pipelines), a folder without its metadata or some of its stages.

## A folder is one complete save

A folder that holds part files of two saves is refused when it is loaded: two rows of one id (users of
ALS, clusters, words, nodes of trees), two rows where there is one, files whose names come from two jobs. The
message names the table, the id and both files. A save that is not complete is
refused as well: trees with nodes that are missing, a `.crc` that has lost its file or does not match it, a
save that was interrupted. The way out
is always the same: save the model again into an empty folder, with `overwrite`. In a few tables a missing part file cannot be
noticed: users and items of ALS, the last clusters of KMeans, the largest sets
of FPGrowth.

## How large a model may be

A table of a model, or a vector or matrix with its zeros, has up to 134,217,728 values (numbers or texts)
of 32 bytes on average. Nearly all models have fewer; the limit bounds what an untrusted
folder can take. Whoever runs the process that loads models may raise it in the environment; a model cannot:

    HYDRO_MAX_MODEL_VALUES=200000000 hydro up        # ALS of 2.8 million users and rank 50 has 142,800,000

The variable is read by `hydro up`, `hydro runtime`, `hydro repository` and `hydro score`; set it for all
parts that read the model.

Large models load without a Python object for each node, word or factor, in pieces: a forest of 500 trees
of depth 15 in under 1 s of CPU and at most its own size in memory (its parquet, expanded), ALS of 2.8
million users of rank 50 in 2.5 s and 1.1 times its size. Large batches are computed in pieces that stay in
the processor's cache. Figures beside onnxruntime are in [benchmarks.md](benchmarks.md).

A saved class that is not in the table below is refused when the model is loaded, by name, uid and
position.

## Supported classes

"""
TAIL = """
## SQL

A SQLTransformer takes SELECT, FROM, WHERE, subqueries in FROM, WITH, `* EXCEPT`, and the steps SELECT,
WHERE, EXTEND, SET, DROP and AS after `|>`, over `__THIS__`, with the operators, literals and casts that
Spark has for rows. Types, the names of columns without AS, and which rows
fail are Spark's, with ANSI and without it: recorded and random expressions over edge cases are compared
with PySpark.

What takes all columns of the table by their order or at once, `FROM __THIS__ AS t(x, y)` and `struct(*)`, takes
those that metadata.json states, in that order, and those that stages before it add.

What needs other rows, the session or chance is refused when the model is loaded, and so is what is not
supported, with the reason. A function that makes large values of small ones (`repeat`, `sequence`,
`lpad` ...) fails the row above a limit, which the error names and Spark does not have. Date patterns with
`zzzz` are refused, and so are two columns of one name, which Spark refuses only when one of them is read.

Known functions:

abs, acos, acosh, add_months, aes_decrypt, aes_encrypt, aggregate, array, array_append,
array_compact, array_contains, array_distinct, array_except, array_insert, array_intersect,
array_join, array_max, array_min, array_position, array_prepend, array_remove, array_repeat,
array_size, array_sort, array_union, arrays_overlap, arrays_zip, ascii, asin, asinh, assert_true,
atan, atan2, atanh, base64, between, bin, bit_count, bit_get, bit_length, bitmap_bit_position,
bitmap_bucket_number, bitmap_count, bround, btrim, cardinality, cbrt, ceil, ceiling, char,
char_length, character_length, chr, coalesce, concat, concat_ws, contains, conv, convert_timezone,
cos, cosh, cot, crc32, csc, date_add, date_diff, date_format, date_from_unix_date, date_part,
date_sub, date_trunc, dateadd, datediff, datepart, day, dayname, dayofmonth, dayofweek,
dayofweek_iso, dayofyear, decode, degrees, div, e, element_at, elt, encode, endswith, equal_null,
exists, exp, expm1, extract, factorial, filter, find_in_set, flatten, floor, forall, format_number,
format_string, from_base32, from_json, from_unixtime, from_utc_timestamp, get, get_json_object,
getbit, greatest, hash, hex, hmac, hour, hypot, if, ifnull, ilike, initcap, instr, is_valid_utf8,
isnan, isnotnull, isnull, jaro_winkler_similarity, json_array_length, json_object_keys, last_day,
lcase, least, left, len, length, levenshtein, like, ln, locate, log, log10, log1p, log2, lower,
lpad, ltrim, luhn_check, make_date, make_dt_interval, make_interval, make_timestamp,
make_timestamp_ltz, make_timestamp_ntz, make_valid_utf8, make_ym_interval, map, map_concat,
map_contains_key, map_entries, map_filter, map_from_arrays, map_from_entries, map_keys, map_values,
map_zip_with, mask, md5, minute, mod, month, monthname, months_between, named_struct, nanvl, negate,
negative, next_day, nullif, nullifzero, nvl, nvl2, octet_length, overlay, parse_url, pi, pmod,
position, positive, pow, power, printf, quarter, quote, radians, raise_error, reduce, regexp,
regexp_count, regexp_extract, regexp_extract_all, regexp_instr, regexp_like, regexp_replace,
regexp_substr, repeat, replace, reverse, right, rint, rlike, round, rpad, rtrim, schema_of_json,
sec, second, sequence, sha, sha1, sha2, shiftleft, shiftright, shiftrightunsigned, sign, signum,
sin, sinh, size, slice, sort_array, soundex, space, split, split_part, sqrt, startswith, str_to_map,
struct, substr, substring, substring_index, tan, tanh, timestamp_micros, timestamp_millis,
timestamp_seconds, timestampadd, timestampdiff, to_base32, to_binary, to_char, to_date, to_json,
to_number, to_timestamp, to_timestamp_ltz, to_timestamp_ntz, to_unix_timestamp, to_utc_timestamp,
to_varchar, transform, transform_keys, transform_values, translate, trim, trunc, try_add,
try_aes_decrypt, try_divide, try_element_at, try_make_interval, try_make_timestamp,
try_make_timestamp_ltz, try_make_timestamp_ntz, try_mod, try_multiply, try_parse_url, try_subtract,
try_to_binary, try_to_date, try_to_number, try_to_timestamp, try_url_decode, try_validate_utf8,
typeof, ucase, unbase64, unhex, unix_date, unix_micros, unix_millis, unix_seconds, unix_timestamp,
upper, url_decode, url_encode, validate_utf8, vector_cosine_similarity, vector_inner_product,
vector_l2_distance, vector_norm, vector_normalize, vector_to_array, weekday, weekofyear, when,
width_bucket, xxhash64, year, yearofweek, zeroifnull, zip_with

Refused:

| functions | why: the function ... |
| --- | --- |
| any, any_value, approx_count_distinct, approx_percentile, approx_top_k, approx_top_k_accumulate, approx_top_k_combine, array_agg, avg, bit_and, bit_or, bit_xor, bitmap_and_agg, bitmap_construct_agg, bitmap_or_agg, bool_and, bool_or, collect_list, collect_set, collect_union, corr, count, count_if, count_min_sketch, counter_diff, covar_pop, covar_samp, cume_dist, dense_rank, every, first, first_value, grouping, grouping_id, histogram_numeric, hll_sketch_agg, hll_union_agg, kll_merge_agg_bigint, kll_merge_agg_double, kll_merge_agg_float, kll_sketch_agg_bigint, kll_sketch_agg_double, kll_sketch_agg_float, kurtosis, lag, last, last_value, lead, listagg, max, max_by, mean, measure, median, min, min_by, mode, nth_value, ntile, percent_rank, percentile, percentile_approx, percentile_cont, percentile_disc, product, rank, regr_avgx, regr_avgy, regr_count, regr_intercept, regr_r2, regr_slope, regr_sxx, regr_sxy, regr_syy, row_number, schema_of_variant_agg, session_window, skewness, some, std, stddev, stddev_pop, stddev_samp, string_agg, sum, theta_intersection_agg, theta_sketch_agg, theta_union_agg, try_avg, try_sum, tuple_intersection_agg_double, tuple_intersection_agg_integer, tuple_sketch_agg_double, tuple_sketch_agg_integer, tuple_union_agg_double, tuple_union_agg_integer, var_pop, var_samp, variance, vector_avg, vector_sum, window, window_time | needs other rows, and here a row is answered alone |
| collations, explode, explode_outer, inline, inline_outer, json_tuple, posexplode, posexplode_outer, python_worker_logs, range, sql_keywords, stack, variant_explode, variant_explode_outer | makes several rows of one |
| rand, randn, random, randstr, shuffle, uniform, uuid | answers by chance |
| curdate, current_catalog, current_database, current_date, current_path, current_schema, current_time, current_timestamp, current_timezone, current_user, input_file_block_length, input_file_block_start, input_file_name, localtime, localtimestamp, monotonically_increasing_id, now, session_user, spark_partition_id, user, version | depends on the session and its time, not on the row |
| approx_top_k_estimate, hll_sketch_estimate, hll_union, kll_sketch_get_n_bigint, kll_sketch_get_n_double, kll_sketch_get_n_float, kll_sketch_get_quantile_bigint, kll_sketch_get_quantile_double, kll_sketch_get_quantile_float, kll_sketch_get_rank_bigint, kll_sketch_get_rank_double, kll_sketch_get_rank_float, kll_sketch_merge_bigint, kll_sketch_merge_double, kll_sketch_merge_float, kll_sketch_to_string_bigint, kll_sketch_to_string_double, kll_sketch_to_string_float, theta_difference, theta_intersection, theta_sketch_estimate, theta_union, tuple_difference_double, tuple_difference_integer, tuple_difference_theta_double, tuple_difference_theta_integer, tuple_intersection_double, tuple_intersection_integer, tuple_intersection_theta_double, tuple_intersection_theta_integer, tuple_sketch_estimate_double, tuple_sketch_estimate_integer, tuple_sketch_summary_double, tuple_sketch_summary_integer, tuple_sketch_theta_double, tuple_sketch_theta_integer, tuple_union_double, tuple_union_integer, tuple_union_theta_double, tuple_union_theta_integer | reads sketches of Apache DataSketches, which are made from many rows |
| is_valid_variant, is_variant_null, parse_json, schema_of_variant, to_variant_object, try_parse_json, try_variant_array_append, try_variant_get, try_variant_insert, try_variant_set, variant_array_append, variant_delete, variant_get, variant_insert, variant_set, variant_strip_nulls | is of the type VARIANT, which is not supported; get_json_object and from_json read JSON |
| from_xml, schema_of_xml, to_xml, xpath, xpath_boolean, xpath_double, xpath_float, xpath_int, xpath_long, xpath_number, xpath_short, xpath_string | reads XML, which is not supported; read it before the pipeline |
| from_csv, schema_of_csv, to_csv | reads or writes CSV, which is not supported; use split and concat_ws |
| make_time, time, time_diff, time_from_micros, time_from_millis, time_from_seconds, time_to_micros, time_to_millis, time_to_seconds, time_trunc, to_time, try_to_time | is of the type TIME, which Spark 4.3 has switched off |
| collate, collation | is of collations, which are not supported: texts are compared byte by byte |
| java_method, reflect, try_reflect | calls a method of Java, and there is no Java here |
| from_avro, from_protobuf, schema_of_avro, to_avro, to_protobuf | reads or writes Avro or Protobuf, which Spark has in modules of their own |
| st_asbinary, st_geogfromwkb, st_geomfromwkb, st_setsrid, st_srid | is of places on Earth, which are not supported |
| sentences | finds words by rules of Java for each language; use split or a RegexTokenizer |
| timestamp_nanos, unix_nanos | is of timestamps in nanoseconds, which are not supported |
| time_bucket | is not supported; use date_trunc, or floor of unix_seconds |

## Known differences

- DistributedLDAModel: Spark starts the inference of documents from random numbers, others each time
  that it loads the model; here it starts from ones. Shares of topics differ by up to 2e-3, and more
  where a document has more than one solution. LocalLDAModel starts from Spark's own numbers.
- FPGrowthModel: Spark does not define the order of the predicted items; here it is that of the rules.
- SQLTransformer: what [SQL](#sql) tells.
- What SQL makes of one row has limits, and a row beyond them is in error: 67,108,864 characters beyond
  what functions are given, an element of an array being 32 of them; 1,048,576 characters or elements of
  one repetition, padding, width or sequence; 16,777,216 pairs of characters for levenshtein; for a
  regular expression 2 s of CPU time, and 2 us more for each character of the text.
- Texts of doubles are those of JDK 19 and later (the shortest that reads back); JDK 17 writes 2.0E-3 as
  2.0E-3 too, but some numbers with one digit more.
- ImputerModel: where the type of a column is stated nowhere and rows come as JSON, a batch of nothing
  but null gives the surrogate as a double.
- Vectors of another size than the model was trained on are refused, row by row. Spark answers some of
  them: trees where no element that is missing is asked for, Gaussian NaiveBayes and OneVsRest of it on
  longer ones, LDA, RobustScaler that neither centres nor scales, VectorSlicer on short sparse ones.
  An error says more than an answer from the wrong features.
- VectorAssembler, handleInvalid=keep: Spark refuses vectors whose size it cannot know beforehand;
  here the size is taken from the rows that have one.
- StopWordsRemover: the locales tr and az have their own lower case; all others share one (Lithuanian
  differs in Java).
- RegexTokenizer: expressions are those of java.util.regex as far as Python's `regex` has a
  counterpart; what has none is refused when the model is loaded. A pattern that matches nothing at all
  splits a character outside the Basic Multilingual Plane into its two halves in Java, and not here.
"""


def page() -> str:
    """The text of docs/spark.md."""
    lines = ["| class | what it does here | mirrors | module |", "| --- | --- | --- | --- |"]
    for name, module in sorted(STAGES.items()):
        stage = find_stage(name)
        text = inspect.cleandoc(stage.__doc__ or "") if stage is not None else ""
        summary = text.partition("\n")[0].replace("|", "\\|")
        version = re.findall(r"\d+\.\d+\.\d+", text.partition("Source: ")[2])[0]
        short = name.removeprefix("org.apache.spark.ml.")
        lines.append(f"| {short} | {summary} | Spark {version} | `{module.replace('.', '/')}.py` |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "docs" / "spark.md")
    if target == "-":
        sys.stdout.write(page())
    else:
        Path(target).write_text(page())


if __name__ == "__main__":
    main()
