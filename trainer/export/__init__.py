"""A voice for use outside of this project: safetensors, ONNX, and the layout of NVIDIA/tacotron2."""
