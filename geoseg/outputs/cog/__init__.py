"""Parts and cloud-optimised GeoTIFFs."""
