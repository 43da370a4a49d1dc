"""Representation learning: what the features of a network that learnt without labels are worth, one file a measure."""
