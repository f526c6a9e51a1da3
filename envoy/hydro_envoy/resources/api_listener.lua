-- The first filter of an API listener, whose calls but for reflection's have one message each.
function envoy_on_request(handle)
  if refuse_compressed(handle) then return end
  if (handle:headers():get(":path") or ""):find("/grpc.reflection.", 1, true) == 1 then
    mark_whole(handle)
  else
    wait_for_body(handle)
  end
end
