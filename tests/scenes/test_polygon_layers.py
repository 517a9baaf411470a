"""The polygons of a vector file: the layer is named or the only one, and no shape is left out in silence."""

import geopandas as gpd
import pytest
import shapely

from geoseg.errors import InputError
from geoseg.scenes.polygons import read_layer, split_layer

SQUARE, OTHER = shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10)


def write(path, shapes, *, layer="one"):
    gpd.GeoDataFrame({"name": [str(i) for i in range(len(shapes))]}, geometry=list(shapes), crs=32645).to_file(
        path, layer=layer
    )
    return path


@pytest.fixture
def two_layers(tmp_path):
    write(tmp_path / "two.gpkg", [SQUARE])
    return write(tmp_path / "two.gpkg", [OTHER], layer="two")


def test_one_of_several_layers_has_to_be_named(two_layers):
    with pytest.raises(InputError, match=r"two\.gpkg: holds 2 layers \(one, two\); name one as .*gpkg\|layername=one$"):
        read_layer(two_layers)
    with pytest.raises(InputError, match="no layer 'three'; there are one, two; name one as"):
        read_layer(f"{two_layers}|layername=three")


def test_a_layer_is_named_in_the_source_or_beside_it(two_layers):
    for source, layer in [(f"{two_layers}|layername=two", None), (f"{two_layers}:two", None), (two_layers, "two")]:
        assert read_layer(source, layer=layer).geometry.tolist() == [OTHER]
    assert split_layer(f"{two_layers}|layername=two|geometrytype=Polygon") == (two_layers, "two")
    assert split_layer("gone.gpkg:two")[1] is None


def test_a_table_beside_the_layer_asks_for_no_name(tmp_path):
    path = write(tmp_path / "styled.gpkg", [SQUARE])
    import pyogrio

    pyogrio.write_dataframe(gpd.pd.DataFrame({"style": ["red"]}), path, layer="layer_styles")
    assert read_layer(path).geometry.tolist() == [SQUARE]


def test_collections_of_polygons_are_polygons(tmp_path):
    nested = shapely.GeometryCollection([SQUARE, shapely.GeometryCollection([shapely.MultiPolygon([OTHER])])])
    frame = read_layer(write(tmp_path / "a.gpkg", [nested, SQUARE]))
    assert frame.geometry.iloc[0].equals(shapely.MultiPolygon([SQUARE, OTHER]))
    assert frame.geometry.iloc[1] == SQUARE
    assert frame["name"].tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (shapely.Point(1, 1), "1 Point found"),
        (shapely.LineString([(0, 0), (1, 1)]), "1 LineString found"),
        (shapely.MultiPoint([(0, 0), (1, 1)]), "2 Point found"),
        (shapely.GeometryCollection([OTHER, shapely.Point(1, 1)]), "1 Point found"),
    ],
)
def test_points_and_lines_beside_polygons_are_refused(tmp_path, beside, said):
    with pytest.raises(InputError, match=rf"a\.gpkg: {said}; only polygons count"):
        read_layer(write(tmp_path / "a.gpkg", [SQUARE, beside]))


def test_features_without_a_geometry_are_left_out(tmp_path):
    assert len(read_layer(write(tmp_path / "a.gpkg", [SQUARE, None, shapely.Polygon()]))) == 1


def test_a_ring_of_one_edge_is_refused_in_one_line(tmp_path):
    path = tmp_path / "ring.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}')
    with pytest.raises(InputError, match=r"^[^\n]*ring\.geojson: not a vector file that can be read[^\n]*$"):
        read_layer(path)


def test_geoparquet_is_read_and_other_parquet_refused(tmp_path):
    path = tmp_path / "areas.parquet"
    gpd.GeoDataFrame({"kind": [1]}, geometry=[SQUARE], crs=32631).to_parquet(path)
    assert read_layer(path).kind.tolist() == [1]
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"areas\.parquet: no GeoParquet that can be read"):
        read_layer(path)
