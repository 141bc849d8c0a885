from .heart import Coordinates as Coordinates
from .heart import Heart as Heart
from .heart import HeartMesh as HeartMesh
from .heart import Surface as Surface
from .heart import Tissue as Tissue
from .veins import VenousTree as VenousTree
