from .plan import Plan as Plan
from .plan import plan_patient as plan_patient
from .settings import Settings as Settings
from .virtual import write_virtual_patient as write_virtual_patient
