"""What clients send and get, at the two ends of a chain: one module a wire format.

`table` has them all, by the method of the call and the content type. Inside a chain all
travels as frames. A new format is a module with a decoder and an encoder, an entry in the
table, and a value of `hydro.serving.v1.Encoding`, by which the last stage knows how the first was
asked.
"""
