;; Holds an answer with the header x-hydro-answer, which the route gives to what is wanted whole, until
;; it is: of what breaks before, nothing has left, so that the router that asked for it can ask again.
;; Of an answer that ends with an error the error alone goes on. What is longer than 128 MiB goes on
;; as it comes from there on, and breaks off where it ends with an error.
;;
;; A call of the host costs Envoy some 20 us, so which streams are held is noted here, in a table by
;; the end of their number: the number itself, negative from where the answer was too long. Who is
;; overwritten, which takes 4096 streams at once, goes on as it comes. The gateway removes the header.
;;
;; ABI: https://github.com/proxy-wasm/spec, v0.2.1. Built by scripts/build_wasm.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param $map i32) (param $key i32) (param $key_size i32)
      (param $data i32) (param $length i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes"
    (func $set_buffer (param $type i32) (param $start i32) (param $size i32)
      (param $data i32) (param $length i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param $status i32) (param $details i32) (param $details_size i32)
      (param $body i32) (param $body_size i32) (param $headers i32) (param $headers_size i32)
      (param $grpc_status i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 16) "x-hydro-answer")
  (data (i32.const 32) "grpc-status")

  ;; Where the host writes the address and the length of what it was asked for, and the text itself.
  (global $data i32 (i32.const 64))
  (global $length i32 (i32.const 68))
  (global $text i32 (i32.const 128))
  (global $table i32 (i32.const 1024))
  (global $long i32 (i32.const 0x80000000))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $text))

  ;; 1: wait. An answer without a body is whole.
  (func (export "proxy_on_response_headers")
    (param $stream i32) (param $headers i32) (param $end_of_stream i32) (result i32)
    (if (local.get $end_of_stream) (then (return (i32.const 0))))
    (call $look (i32.const 2) (i32.const 16) (i32.const 14))
    (if (i32.eqz (i32.load (global.get $length))) (then (return (i32.const 0))))
    ;; Headers wait as well: once they have left, the router counts the answer as begun.
    (i32.store (call $place (local.get $stream)) (local.get $stream))
    (i32.const 1))

  ;; The size is that of all that is held, but for the piece that has just come.
  (func (export "proxy_on_response_body")
    (param $stream i32) (param $size i32) (param $end_of_stream i32) (result i32)
    (if (local.get $end_of_stream) (then (return (i32.const 0))))
    (if (i32.ne (i32.load (call $place (local.get $stream))) (local.get $stream))
      (then (return (i32.const 0))))
    ;; 128 MiB, as HELD_BYTES in routes.py.
    (if (i32.le_u (local.get $size) (i32.const 0x8000000)) (then (return (i32.const 1))))
    (i32.store (call $place (local.get $stream))
      (i32.or (local.get $stream) (global.get $long)))
    (i32.const 0))

  (func (export "proxy_on_response_trailers")
    (param $stream i32) (param $trailers i32) (result i32)
    (local $noted i32)
    (local.set $noted (i32.load (call $place (local.get $stream))))
    (if (i32.ne (i32.and (local.get $noted) (i32.const 0x7fffffff)) (local.get $stream))
      (then (return (i32.const 0))))
    (if (call $is_well) (then (return (i32.const 0))))
    (if (i32.eq (local.get $noted) (local.get $stream))
      (then
        ;; The body goes, the trailers stay: an error before any data is one that the router may try
        ;; again.
        (drop (call $set_buffer (i32.const 1) (i32.const 0) (i32.const 0x7fffffff)
          (global.get $text) (i32.const 0)))
        (return (i32.const 0))))
    ;; Too much has left already: a reset tells the client that the answer is incomplete.
    (drop (call $reply (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 13)))
    (i32.const 1))

  ;; In the table.
  (func $place (param $stream i32) (result i32)
    (i32.add (global.get $table)
      (i32.shl (i32.and (local.get $stream) (i32.const 0xfff)) (i32.const 2))))

  ;; 1 where the trailers have the status 0.
  (func $is_well (result i32)
    (call $look (i32.const 3) (i32.const 32) (i32.const 11))
    (if (i32.ne (i32.load (global.get $length)) (i32.const 1)) (then (return (i32.const 0))))
    (i32.eq (i32.load8_u (i32.load (global.get $data))) (i32.const 0x30)))

  ;; Reads a header, or a trailer; what is not there has no length.
  (func $look (param $map i32) (param $key i32) (param $key_size i32)
    (i32.store (global.get $length) (i32.const 0))
    (drop (call $get_header (local.get $map) (local.get $key) (local.get $key_size)
      (global.get $data) (global.get $length)))))
