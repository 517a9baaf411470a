"""The table of jobs: which keys each has."""

from geoseg.config.batches import BatchConfig
from geoseg.config.prompt_trainings import PromptTrainConfig
from geoseg.config.prompts import PromptConfig
from geoseg.config.runs import BuildingsConfig, LandCoverConfig
from geoseg.config.segments import SegmentConfig
from geoseg.config.trainings import TrainConfig

Config = (
    LandCoverConfig | BuildingsConfig | PromptConfig | SegmentConfig | BatchConfig | TrainConfig | PromptTrainConfig
)
CONFIGS: dict[str, type[Config]] = {
    "land_cover": LandCoverConfig,
    "buildings": BuildingsConfig,
    "batch": BatchConfig,
    "train": TrainConfig,
    "train_prompt": PromptTrainConfig,
    "prompt": PromptConfig,
    "segment": SegmentConfig,
}
