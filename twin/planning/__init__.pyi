from .plan import Plan as Plan
from .plan import plan_patient as plan_patient
from .settings import Settings as Settings
from .virtual import write_virtual_patient as write_virtual_patient
from .virtual_ecgs import VirtualEcgs as VirtualEcgs
from .virtual_ecgs import virtual_ecgs as virtual_ecgs
