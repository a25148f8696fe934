"""The words of the domain: models, errors, ids and the clock. No XML, HTTP or SQL here."""
