"""Hole generators, one a file: `generator(draws, height, width)` -> mask float32 (B,1,H,W) in {0,1}, 1 = hole.

`draws` (datamodules.randomness.Draws) fixes the batch, its device and all randomness, so the mask of a sample is the
same in any batch and on any rank. To be the same on every device too, generators compare nothing that depends on the
order of a float sum: they use integers, tables made in Python, and single IEEE operations (+ - * / sqrt, but no
division by a Python number, which CUDA turns into a product, unless it is a power of two). Sizes up to 1 are shares of
the shorter image side, larger ones pixels.
"""
