"""Land cover: a scene becomes a class map with its confidence."""

from geoseg.config import LandCoverConfig
from geoseg.engine.predict import Result, predict
from geoseg.engine.run import Listener
from geoseg.model.bundle import load_model


def run(config: LandCoverConfig, *, listen: Listener) -> Result:
    """Open the scene, load the model, and write the class map and its confidence to the config's folder."""
    scene = config.open()
    model = load_model(config.model)
    return predict(scene, model, config.out, options=config.options, config=config.recorded(), listen=listen)
