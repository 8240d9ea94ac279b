"""The laboratory of ecg_hough: benchmarks, comparisons, ablations, other systems' methods, figures."""
