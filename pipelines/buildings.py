"""Buildings: a scene becomes a class map, its confidence, and the polygons of its buildings."""

from geoseg.config.runs import BuildingsConfig
from geoseg.jobs.predict import predict
from geoseg.jobs.request import load_models
from geoseg.jobs.result import Result
from geoseg.jobs.run import Listener, Stop


def run(config: BuildingsConfig, *, listen: Listener, stop: Stop | None = None) -> Result:
    """Open the scene, load the model, and write class map, confidence and building polygons to the config's folder."""
    scene = config.open()
    model = load_models(config.model)
    return predict(
        scene,
        model,
        config.out,
        options=config.options,
        polygons=config.polygons,
        config=config.recorded(),
        listen=listen,
        stop=stop,
    )
