"""Evaluate generated shapes by set metrics, with their noise, ceiling and novelty.

* :mod:`protocol` fixes frame, split and points by name; :mod:`generated_sets` and
  :mod:`reference_sets` read clouds, :mod:`published_sets` data sets in their published layout.
* :mod:`set_metrics`: 1-NNA (Lopez-Paz & Oquab 2017; PointFlow, 2019), COV, MMD and JSD (Achlioptas
  et al. 2018), from tables of :mod:`pcgen.distances`, which also finds nearest training shapes.
* :mod:`evaluation` combines them, :mod:`requests` runs it on files and runs, :mod:`report_text` and
  :mod:`html_report` present the result; :mod:`reconstruction` evaluates autoencoders.
"""
