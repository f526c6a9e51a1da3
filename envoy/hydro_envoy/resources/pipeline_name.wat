;; Names a call's pipeline: sets the header x-pipeline to the field `pipeline` (number 1) of the
;; call's first message, as soon as that field has come, and lets everything through untouched.
;;
;; It is what Envoy's grpc_field_extraction would do for us if that did not lose the start of a
;; message that comes in one piece with the end of the first (Envoy 1.40). Only as much of the body
;; is held as it takes to see the field; a client's own x-pipeline is taken away before.
;;
;; ABI: https://github.com/proxy-wasm/spec, v0.2.1. Built by scripts/build_wasm.
(module
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param $type i32) (param $start i32) (param $size i32)
      (param $data i32) (param $length i32) (result i32)))
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param $map i32) (param $key i32) (param $key_size i32)
      (param $data i32) (param $length i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param $map i32) (param $key i32) (param $key_size i32)
      (param $value i32) (param $value_size i32) (result i32)))

  (import "env" "proxy_send_local_response"
    (func $reply (param $status i32) (param $details i32) (param $details_size i32)
      (param $body i32) (param $body_size i32) (param $headers i32) (param $headers_size i32)
      (param $grpc_status i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 16) "x-pipeline")
  (data (i32.const 32) "content-type")
  (data (i32.const 128) "compressed_message")
  (data (i32.const 256) "got a compressed message, want it plain; switch compression off")
  ;; Header pairs, as the ABI has them: their number, the two sizes of each, then the texts.
  (data (i32.const 384) "\01\00\00\00\14\00\00\00\08\00\00\00grpc-accept-encoding\00identity\00")

  ;; Where the host writes the address and the length of what it was asked for.
  (global $data i32 (i32.const 64))
  (global $length i32 (i32.const 68))
  ;; What the host hands over lies here; it is at most $window long, so one page is enough.
  (global $scratch i32 (i32.const 1024))
  (global $window i32 (i32.const 1024))

  ;; The reader's place in the window, its end, and whether it ran over that end.
  (global $at (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))
  (global $short (mut i32) (i32.const 0))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $scratch))

  ;; Headers of gRPC wait (1: pause) for the first piece of the body; without a body there is none.
  (func (export "proxy_on_request_headers")
    (param $context i32) (param $headers i32) (param $end_of_stream i32) (result i32)
    (if (local.get $end_of_stream) (then (return (i32.const 0))))
    (call $is_grpc))

  ;; The size that is given is not needed: the window's length tells how much has come.
  (func (export "proxy_on_request_body")
    (param $context i32) (param $size i32) (param $end_of_stream i32) (result i32)
    (local $from i32) (local $tag i32) (local $message_end i32)
    (if (call $has_name) (then (return (i32.const 0))))
    (call $look (i32.const 0))
    ;; A gRPC message begins with a flag, 1 for compressed, and four bytes of its length.
    (if (call $byte) (then (return (call $refuse))))
    ;; The end is counted from the start of the body: 5 bytes of prefix, then the message.
    (local.set $message_end (i32.add (call $uint32) (i32.const 5)))
    (local.set $from (i32.const 5))
    (block $undecided
      (br_if $undecided (global.get $short))
      (loop $fields
        ;; The message has ended without the field: let it through, without a name.
        (if (i32.ge_u (local.get $from) (local.get $message_end)) (then (return (i32.const 0))))
        (call $look (local.get $from))
        (local.set $tag (call $varint))
        (br_if $undecided (global.get $short))
        ;; 0x0a is field 1 of wire type 2, a text. Fields may come in any order, so others are
        ;; passed over.
        (if (i32.eq (local.get $tag) (i32.const 0x0a))
          (then
            (br_if $undecided (i32.eqz (call $name)))
            (return (i32.const 0))))
        (call $skip (i32.and (local.get $tag) (i32.const 7)))
        (br_if $undecided (global.get $short))
        (local.set $from (i32.add (local.get $from) (i32.sub (global.get $at) (global.get $scratch))))
        ;; Backwards or beyond what a message can be: not protobuf, so there is no name.
        (if (i32.lt_u (local.get $from) (i32.const 5)) (then (return (i32.const 0))))
        (br $fields)))
    ;; Not enough has come: wait, unless nothing more does.
    (i32.eqz (local.get $end_of_stream)))

  ;; 1 where the header was set at an earlier piece.
  (func $has_name (result i32)
    (i32.store (global.get $length) (i32.const 0))
    (drop (call $get_header (i32.const 0) (i32.const 16) (i32.const 10)
      (global.get $data) (global.get $length)))
    (i32.ne (i32.load (global.get $length)) (i32.const 0)))

  ;; 1 where the content type begins with application/grpc.
  (func $is_grpc (result i32)
    (i32.store (global.get $length) (i32.const 0))
    (drop (call $get_header (i32.const 0) (i32.const 32) (i32.const 12)
      (global.get $data) (global.get $length)))
    (if (i32.lt_u (i32.load (global.get $length)) (i32.const 16)) (then (return (i32.const 0))))
    (i32.and
      ;; "applicat" and "ion/grpc", eight bytes at a time, as numbers in little-endian order.
      (i64.eq (i64.load (i32.load (global.get $data))) (i64.const 0x746163696c707061))
      (i64.eq (i64.load offset=8 (i32.load (global.get $data))) (i64.const 0x637072672f6e6f69))))

  ;; A message whose flag says that it is compressed: UNIMPLEMENTED, with the encodings that are not.
  ;; What is not gRPC passes.
  (func $refuse (result i32)
    (if (i32.eqz (call $is_grpc)) (then (return (i32.const 0))))
    (drop (call $reply (i32.const 501) (i32.const 128) (i32.const 18)
      (i32.const 256) (i32.const 63) (i32.const 384) (i32.const 42) (i32.const 12)))
    (i32.const 1))

  ;; Puts what the body has from this place on, as far as it goes, into the window.
  (func $look (param $from i32)
    (i32.store (global.get $length) (i32.const 0))
    (drop (call $get_buffer (i32.const 0) (local.get $from) (global.get $window)
      (global.get $data) (global.get $length)))
    (global.set $at (global.get $scratch))
    (global.set $end (i32.add (global.get $scratch) (i32.load (global.get $length))))
    (global.set $short (i32.const 0)))

  (func $byte (result i32)
    (if (i32.ge_u (global.get $at) (global.get $end))
      (then (global.set $short (i32.const 1)) (return (i32.const 0))))
    (global.set $at (i32.add (global.get $at) (i32.const 1)))
    (i32.load8_u (i32.sub (global.get $at) (i32.const 1))))

  ;; Big-endian, as gRPC's length.
  (func $uint32 (result i32)
    (i32.or
      (i32.or (i32.shl (call $byte) (i32.const 24)) (i32.shl (call $byte) (i32.const 16)))
      (i32.or (i32.shl (call $byte) (i32.const 8)) (call $byte))))

  (func $varint (result i32)
    (local $value i32) (local $shift i32) (local $byte i32)
    (loop $more
      (local.set $byte (call $byte))
      (if (i32.lt_u (local.get $shift) (i32.const 32))
        (then (local.set $value (i32.or (local.get $value)
          (i32.shl (i32.and (local.get $byte) (i32.const 0x7f)) (local.get $shift))))))
      (local.set $shift (i32.add (local.get $shift) (i32.const 7)))
      (br_if $more (i32.and
        (i32.ge_u (local.get $byte) (i32.const 0x80))
        (i32.lt_u (local.get $shift) (i32.const 70)))))
    (local.get $value))

  ;; Moves past a field's value; past the window's end is fine, that is looked at next.
  (func $skip (param $wire i32)
    (if (i32.eqz (local.get $wire)) (then (drop (call $varint)) (return)))
    (if (i32.eq (local.get $wire) (i32.const 1))
      (then (global.set $at (i32.add (global.get $at) (i32.const 8))) (return)))
    (if (i32.eq (local.get $wire) (i32.const 5))
      (then (global.set $at (i32.add (global.get $at) (i32.const 4))) (return)))
    (if (i32.eq (local.get $wire) (i32.const 2))
      (then (global.set $at (i32.add (call $varint) (global.get $at))) (return)))
    ;; Groups and unknown types: as if the message had no name.
    (global.set $at (i32.const -1)))

  ;; Sets the header from the field that starts here; 0 where not all of it has come. What no
  ;; header can carry is replaced, so that no pipeline has such a name.
  (func $name (result i32)
    (local $size i32) (local $from i32) (local $to i32)
    (local.set $size (call $varint))
    (if (global.get $short) (then (return (i32.const 0))))
    (local.set $from (global.get $at))
    (local.set $to (i32.add (local.get $from) (local.get $size)))
    ;; No pipeline has so long a name: what is cut off names none, and is answered with NOT_FOUND.
    (if (i32.gt_u (local.get $size) (i32.const 512)) (then
      (local.set $to (i32.add (local.get $from) (i32.const 512)))
      (local.set $size (i32.const 512))))
    (if (i32.gt_u (local.get $to) (global.get $end)) (then (return (i32.const 0))))
    (if (i32.eqz (local.get $size)) (then (return (i32.const 1))))
    (loop $bytes
      (if (i32.or
            (i32.lt_u (i32.load8_u (global.get $at)) (i32.const 0x20))
            (i32.eq (i32.load8_u (global.get $at)) (i32.const 0x7f)))
        (then (i32.store8 (global.get $at) (i32.const 0x3f))))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (br_if $bytes (i32.lt_u (global.get $at) (local.get $to))))
    (call $no_space (local.get $from))
    (call $no_space (i32.sub (local.get $to) (i32.const 1)))
    (drop (call $add_header (i32.const 0) (i32.const 16) (i32.const 10)
      (local.get $from) (local.get $size)))
    (i32.const 1))

  ;; A header's value neither begins nor ends with a space.
  (func $no_space (param $place i32)
    (if (i32.eq (i32.load8_u (local.get $place)) (i32.const 0x20))
      (then (i32.store8 (local.get $place) (i32.const 0x3f))))))
