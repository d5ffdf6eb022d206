"""Back ends: packs of windows in, what every head says of every token out. One interface, whatever computes.

1. `backend` is the interface: a pack is handed over, its values are asked for later.
2. `torch_packed` computes on a CPU, `cuda` on an NVIDIA GPU with copies that overlap; `compiled` puts torch.compile
   under the blocks of either.
3. `halving` stands around a back end whose memory may run out, and goes on with smaller packs.
"""
