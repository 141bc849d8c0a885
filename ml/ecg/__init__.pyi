from .recording import Ecg as Ecg
