"""The scoped entry to a site's rows: whoever serves a person begins with `objects.of(site)`."""

from typing import ClassVar, Self, TypeVar

from django.db import models

Row = TypeVar("Row", bound="SiteRow")


class OfSite(models.Manager[Row]):
    """The rows of all sites; `of` narrows them to those of one before anything else is asked."""

    def of(self, site: models.Model) -> models.QuerySet[Row]:
        """Only that site's rows: another's are not there, whatever is asked of them next."""
        return self.get_queryset().filter(**{self.model.WAY_TO_SITE: site})


class SiteRow(models.Model):
    """A row that belongs to a site, or hangs from one that does; `WAY_TO_SITE` is the lookup."""

    WAY_TO_SITE: ClassVar[str] = "site"

    objects: ClassVar[OfSite[Self]] = OfSite()

    class Meta:
        abstract = True
