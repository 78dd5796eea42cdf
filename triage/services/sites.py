"""Opening a site: what it starts with, before any expert has said a word."""

from inference.shipped import starting_calibration
from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.thresholds import by_percentile
from triage.choices import PolicyMode, SiteKind
from triage.models import Calibration, Organisation, Policy, Site
from triage.services.calibration import labelled_rows
from triage.services.policies import propose_policy, start_with

STARTING_DEFERRAL = 30.0


def open_site(
    *,
    organisation: Organisation,
    name: str,
    kind: SiteKind,
    domain: str,
    two_person_rule: bool = True,
) -> Site:
    """Create a site with the calibration that ships with the ensemble, if one ships.

    The first policy defers the 30 % that were least sure where the ensemble was measured. Without a
    calibration there is no policy, and everything is deferred.
    """
    site = Site.objects.create(
        organisation=organisation,
        name=name,
        kind=kind,
        domain=domain,
        two_person_rule=two_person_rule,
    )
    parameters = starting_calibration(domain)
    if parameters is not None:
        _first_policy(site, parameters)
    return site


def _first_policy(site: Site, parameters: dict[str, object]) -> Policy:
    calibration = Calibration.objects.create(
        site=site, domain=site.domain, parameters=parameters, window={"shipped": True}
    )
    fitted = FittedCalibration.from_dict(parameters)
    rows = labelled_rows(fitted, "cold_start", None, own=False)
    policy = propose_policy(
        site=site,
        domain=site.domain,
        calibration=calibration,
        method="cold_start",
        mode=PolicyMode.PERCENTILE,
        choice=by_percentile(rows.scores, STARTING_DEFERRAL),
        details={"value": STARTING_DEFERRAL / 100, "starting": True},
    )
    return start_with(policy)
