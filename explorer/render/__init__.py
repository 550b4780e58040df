"""How values are shown: numbers as text, sentences, tables and figures.

No arithmetic on models here: what is shown was worked out below. Importing a module of text loads
nothing heavy, so the server and the shell share it.
"""
