"""Land cover: a scene becomes a class map with its confidence."""

from geoseg.config.runs import LandCoverConfig
from geoseg.jobs.predict import predict
from geoseg.jobs.request import load_models
from geoseg.jobs.result import Result
from geoseg.jobs.run import Listener, Stop


def run(config: LandCoverConfig, *, listen: Listener, stop: Stop | None = None) -> Result:
    """Open the scene, load the model, or the one that fits it, and write class map and confidence to the folder."""
    scene = config.open()
    config = config.decided(scene)
    model = load_models(config.model)
    return predict(scene, model, config.out, options=config.options, config=config.recorded(), listen=listen, stop=stop)
