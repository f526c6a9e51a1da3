"""ONNX models, evaluated by onnxruntime; the signature is read from the file without it."""
