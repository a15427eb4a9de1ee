"""Many comparisons: points from a specification, answered on all cores of a machine or on many machines, and what they show."""
