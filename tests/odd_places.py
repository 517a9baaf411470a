"""Where odd scenes lie: of nodata, of a pixel or a window, turned, in degrees."""

from affine import Affine

UPRIGHT = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)


def places(*, window, large):
    """Return side in pixels, CRS and pixels to ground of each; large: of turned scenes and of those in degrees."""
    return {
        "nodata": (160, "EPSG:32645", UPRIGHT),
        "pixel": (1, "EPSG:32645", UPRIGHT),
        "window": (window, "EPSG:32645", UPRIGHT),
        "turned": (large, "EPSG:32645", UPRIGHT @ Affine.rotation(-30)),
        "degrees": (large, "EPSG:4326", Affine(5e-6, 0, 85.5, 0, -5e-6, 27.6)),
    }
