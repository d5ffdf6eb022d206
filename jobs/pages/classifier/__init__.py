"""TODO DOC"""
