"""The models by name: what the command line lists and what a saved model may name."""

from importlib import import_module

# name -> module:class, imported when asked for, since most need torch.
MODELS = {
    "resnet18-image": "ml.image_resnet:ImageResNetClassifier",
    "ssl-resnet18-image": "ml.ssl_image_resnet:SSLImageResNetClassifier",
    "lightgbm": "ml.lightgbm_classifier:LightGbmClassifier",
    "composite": "ml.network_classifier:CompositeClassifier",
    "sliding-scar": "ml.network_classifier:SlidingScarClassifier",
    "cardiomyopathy": "ml.network_classifier:CardiomyopathyClassifier",
    "rv-function": "ml.rv_function:RVFunctionRegressor",
    "qrs-pca": "ml.qrs_pca:QrsPca",
    "scar-segmentation": "ml.segmentation:ScarSegmenter",
    "response": "ml.response.estimator:ResponseModel",
}


def model_class(name: str) -> type:
    """The scikit-learn estimator of this name.

    Raises:
        ValueError: if there is none.
        ModuleNotFoundError: naming the extra to install, if the model needs a package that is not there.
    """
    if name not in MODELS:
        raise ValueError(f"no model {name!r}; there are {', '.join(MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    try:
        found: type = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"model {name} needs {error.name}, which is not installed: pip install 'crt-twin[deep]'", name=error.name
        ) from None
    return found


def model_name(model: object) -> str:
    """The name of an estimator.

    Raises:
        ValueError: if its class is none of the models.
    """
    place = f"{type(model).__module__}:{type(model).__qualname__}"
    names = [name for name, where in MODELS.items() if where == place]
    if not names:
        raise ValueError(f"{type(model).__name__} is none of the models: {', '.join(MODELS)}")
    return names[0]
