"""The table of jobs: which keys each has."""

from geoseg.config.batches import BatchConfig
from geoseg.config.prompts import PromptConfig
from geoseg.config.runs import BuildingsConfig, LandCoverConfig
from geoseg.config.segments import SegmentConfig
from geoseg.config.trainings import TrainConfig

Config = LandCoverConfig | BuildingsConfig | PromptConfig | SegmentConfig | BatchConfig | TrainConfig
CONFIGS: dict[str, type[Config]] = {
    "land_cover": LandCoverConfig,
    "buildings": BuildingsConfig,
    "batch": BatchConfig,
    "train": TrainConfig,
    "prompt": PromptConfig,
    "segment": SegmentConfig,
}
