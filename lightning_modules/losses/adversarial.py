"""Adversarial losses on logits. A discriminator ends without a sigmoid: it is part of these functions, where its
logarithm does not overflow. Any shape of logits; each mean is over all of them, in float32 whatever the precision
around it: bfloat16 has 3 digits."""

from torch.nn import functional as F


def nonsaturating_d(real, fake):
    """-log D(real) - log(1 - D(fake)), D = sigmoid(logit): the two means are added, not halved (Goodfellow 2014)."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def nonsaturating_g(fake):
    """-log D(fake): what the generator minimises instead of log(1 - D(fake)), whose slope dies where D is sure."""
    return F.softplus(-fake.float()).mean()
