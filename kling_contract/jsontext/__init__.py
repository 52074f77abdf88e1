"""JSON text: is it JSON to the letter, and where does each value stand?"""
