"""Functions of Spark that are refused here, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_ROWS = "needs other rows, and here a row is answered alone"
SEVERAL_ROWS = "makes several rows of one"
CHANCE = "answers by chance"
SESSION = "depends on the session and its time, not on the row"
_SKETCHES = "reads sketches of Apache DataSketches, which are made from many rows"
_VARIANTS = (
    "is of the type VARIANT, which is not supported; get_json_object and from_json read JSON"
)
_XML = "reads XML, which is not supported; read it before the pipeline"
_CSV = "reads or writes CSV, which is not supported; use split and concat_ws"
_TIME = "is of the type TIME, which Spark 4.3 has switched off"
_COLLATIONS = "is of collations, which are not supported: texts are compared byte by byte"
_JAVA = "calls a method of Java, and there is no Java here"
_FORMATS = "reads or writes Avro or Protobuf, which Spark has in modules of their own"
_PLACES = "is of places on Earth, which are not supported"
_WORDS: Mapping[str, str] = {
    OTHER_ROWS: """
        any any_value approx_count_distinct approx_percentile approx_top_k approx_top_k_accumulate
        approx_top_k_combine array_agg avg bit_and bit_or bit_xor bitmap_and_agg
        bitmap_construct_agg bitmap_or_agg bool_and bool_or collect_list collect_set collect_union
        corr count count_if count_min_sketch counter_diff covar_pop covar_samp cume_dist dense_rank
        every first first_value grouping grouping_id histogram_numeric hll_sketch_agg hll_union_agg
        kll_merge_agg_bigint kll_merge_agg_double kll_merge_agg_float kll_sketch_agg_bigint
        kll_sketch_agg_double kll_sketch_agg_float kurtosis lag last last_value lead listagg max
        max_by mean measure median min min_by mode nth_value ntile percent_rank percentile
        percentile_approx percentile_cont percentile_disc product rank regr_avgx regr_avgy
        regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number
        schema_of_variant_agg session_window skewness some std stddev stddev_pop stddev_samp
        string_agg sum theta_intersection_agg theta_sketch_agg theta_union_agg try_avg try_sum
        tuple_intersection_agg_double tuple_intersection_agg_integer tuple_sketch_agg_double
        tuple_sketch_agg_integer tuple_union_agg_double tuple_union_agg_integer var_pop var_samp
        variance vector_avg vector_sum window window_time""",
    SEVERAL_ROWS: """
        collations explode explode_outer inline inline_outer json_tuple posexplode posexplode_outer
        python_worker_logs range sql_keywords stack variant_explode variant_explode_outer""",
    CHANCE: "rand randn random randstr shuffle uniform uuid",
    SESSION: """
        current_catalog current_database current_date current_path current_schema current_time
        current_timestamp current_timezone current_user curdate input_file_block_length
        input_file_block_start input_file_name localtime localtimestamp
        monotonically_increasing_id now session_user spark_partition_id user version""",
    _SKETCHES: """
        approx_top_k_estimate hll_sketch_estimate hll_union kll_sketch_get_n_bigint
        kll_sketch_get_n_double kll_sketch_get_n_float kll_sketch_get_quantile_bigint
        kll_sketch_get_quantile_double kll_sketch_get_quantile_float kll_sketch_get_rank_bigint
        kll_sketch_get_rank_double kll_sketch_get_rank_float kll_sketch_merge_bigint
        kll_sketch_merge_double kll_sketch_merge_float kll_sketch_to_string_bigint
        kll_sketch_to_string_double kll_sketch_to_string_float theta_difference theta_intersection
        theta_sketch_estimate theta_union tuple_difference_double tuple_difference_integer
        tuple_difference_theta_double tuple_difference_theta_integer tuple_intersection_double
        tuple_intersection_integer tuple_intersection_theta_double
        tuple_intersection_theta_integer tuple_sketch_estimate_double
        tuple_sketch_estimate_integer tuple_sketch_summary_double tuple_sketch_summary_integer
        tuple_sketch_theta_double tuple_sketch_theta_integer tuple_union_double
        tuple_union_integer tuple_union_theta_double tuple_union_theta_integer""",
    _VARIANTS: """
        is_valid_variant is_variant_null parse_json schema_of_variant to_variant_object
        try_parse_json try_variant_array_append try_variant_get try_variant_insert try_variant_set
        variant_array_append variant_delete variant_get variant_insert variant_set
        variant_strip_nulls""",
    _XML: """
        from_xml schema_of_xml to_xml xpath xpath_boolean xpath_double xpath_float xpath_int
        xpath_long xpath_number xpath_short xpath_string""",
    _CSV: "from_csv schema_of_csv to_csv",
    _TIME: """
        make_time time time_diff time_from_micros time_from_millis time_from_seconds
        time_to_micros time_to_millis time_to_seconds time_trunc to_time try_to_time""",
    _COLLATIONS: "collate collation",
    _JAVA: "java_method reflect try_reflect",
    _FORMATS: "from_avro from_protobuf schema_of_avro to_avro to_protobuf",
    _PLACES: "st_asbinary st_geogfromwkb st_geomfromwkb st_setsrid st_srid",
    "finds words by rules of Java for each language; use split or a RegexTokenizer": "sentences",
    "is of timestamps in nanoseconds, which are not supported": "timestamp_nanos unix_nanos",
    "is not supported; use date_trunc, or floor of unix_seconds": "time_bucket",
}
REFUSED: Mapping[str, str] = {
    name: reason for reason, names in _WORDS.items() for name in names.split()
}
"""The reason, by Spark's name."""
NEEDS_MORE = frozenset((OTHER_ROWS, SEVERAL_ROWS, CHANCE, SESSION))
"""The reasons for which a single row has no answer."""
