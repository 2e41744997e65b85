# What type checkers read instead of __init__.py, whose names appear when they are first used.
from deeplab import keras as keras
from deeplab.checkpoints.restoring import restore as restore
from deeplab.config.model import ModelConfig as ModelConfig
from deeplab.config.presets import MODELS as MODELS
from deeplab.errors import UserError as UserError
from deeplab.inference.predictor import predict_labels as predict_labels
from deeplab.inference.trained import load as load
from deeplab.model.cost import count_multiply_adds as count_multiply_adds
from deeplab.model.network import build_model as build_model
from deeplab.programs.functions import evaluate_model as evaluate_model
from deeplab.programs.functions import export_model as export_model
from deeplab.programs.functions import train_model as train_model
from deeplab.segmenting.result import Result as Result
from deeplab.segmenting.segmenter import Segmenter as Segmenter

__version__: str
