"""What can be taken away: pure functions from an `Outcome` to the text of a file.

None of them knows a page, a clock or a network, and each puts what strangers have named into its
own language's quotes.
"""
