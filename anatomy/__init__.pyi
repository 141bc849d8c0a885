from anatomy.heart import Coordinates as Coordinates
from anatomy.heart import Heart as Heart
from anatomy.heart import HeartMesh as HeartMesh
from anatomy.heart import Surface as Surface
from anatomy.heart import Tissue as Tissue
