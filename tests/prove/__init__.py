"""Revocations under load, with all that may befall the service: is a key ever good after its revocation returned?"""
