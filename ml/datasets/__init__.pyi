from .drawn import DrawnSlices as DrawnSlices
from .drawn import read_drawn as read_drawn
from .plain import read_table as read_table
from .public import DATASETS as DATASETS
from .scar import read_lge as read_lge
from .scar import read_slices as read_slices
from .stack import EcgTable as EcgTable
from .stack import stack_rows as stack_rows
