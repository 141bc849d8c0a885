"""ResNet-18 [doi:10.1109/CVPR.2016.90], MONAI's, for images and for signals.

Its first convolution has stride 2, as in the original; MONAI's default of 1 costs about five times the training time.

Needs the extra [deep].
"""

from monai.networks.nets import resnet18 as monai_resnet18
from torch import nn


def resnet18(channels: int, outputs: int, *, dimensions: int) -> nn.Module:
    """The network with random weights, giving logits.

    Input (n, channels, height, width) for 2 dimensions, (n, channels, samples) for 1; output (n, outputs).
    """
    network: nn.Module = monai_resnet18(
        spatial_dims=dimensions, n_input_channels=channels, num_classes=outputs, conv1_t_stride=2
    )
    return network
