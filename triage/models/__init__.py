"""What people do about what the models said."""

from triage.models.asking import Ask, Delivery, PushSubscription, Snooze
from triage.models.audit import AuditEvent, ChainHead
from triage.models.base import AppendOnly
from triage.models.cases import CareTeamMember, Case, Subject
from triage.models.decisions import Decision, ShadowDecision
from triage.models.domains import DomainPublication, DomainVersion, Trial, TrialRun
from triage.models.gold import GoldCase
from triage.models.policies import Calibration, GuardRail, Policy, Withdrawal
from triage.models.privacy import Consent, Erasure, GlassBreak, LegalHold
from triage.models.reviews import Draft, Lease, Review
from triage.models.sites import (
    DeviceToken,
    IdempotencyKey,
    Learning,
    Membership,
    Organisation,
    OrganisationRole,
    Site,
    default_time_zone,
)
from triage.models.watching import Alert, Checkup

__all__ = [
    "Alert",
    "AppendOnly",
    "Ask",
    "AuditEvent",
    "Calibration",
    "CareTeamMember",
    "Case",
    "ChainHead",
    "Checkup",
    "Consent",
    "Decision",
    "Delivery",
    "DeviceToken",
    "DomainPublication",
    "DomainVersion",
    "Draft",
    "Erasure",
    "GlassBreak",
    "GoldCase",
    "GuardRail",
    "IdempotencyKey",
    "Learning",
    "Lease",
    "LegalHold",
    "Membership",
    "Organisation",
    "OrganisationRole",
    "Policy",
    "PushSubscription",
    "Review",
    "ShadowDecision",
    "Site",
    "Snooze",
    "Subject",
    "Trial",
    "TrialRun",
    "Withdrawal",
    "default_time_zone",
]
