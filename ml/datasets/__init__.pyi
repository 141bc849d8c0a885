from .plain import read_table as read_table
from .public import DATASETS as DATASETS
from .stack import EcgTable as EcgTable
from .stack import stack_rows as stack_rows
