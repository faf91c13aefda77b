"""The ledger: what each quota window allows, what is held of it and what came of every attempt.

ledger.py is the door that the gateway uses. core.py decides, in memory and without any I/O;
allowances.py draws from the windows in PostgreSQL; spool.py keeps attempts on the local disk
until settlement.py has made facts of them; processes.py gives each gateway its identity and ends
those that died. Whatever fails in between, no window's posted + drawn exceeds its limit.
"""
