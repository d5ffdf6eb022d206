"""A finished run as a Hugging Face folder of a stock class. Needs torch and safetensors, neither megatron nor a GPU."""
