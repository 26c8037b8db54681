"""A believable distributor to try Tipoff on: invented, the same for the same seed, with known situations planted."""

from deploy.sample.write import SampleFiles, generate

__all__ = ["SampleFiles", "generate"]
