"""Documents of our own for first tries: an agreement, an expense report, and rules to hold the report against."""

AGREEMENT = """# Service agreement

Between Harbour Lane Books GmbH, Speicherweg 4, 20457 Hamburg ("the customer") and Brightwater IT Services Ltd,
12 Mill Street, Leeds ("the provider"). Signed on 12 March 2026.

## 1. Service

The provider looks after the customer's shop software from 1 April 2026 until 31 March 2027. Faults are answered within
4 hours on working days. Contact: support@brightwater.example.

## 2. Fees

| Position | Amount |
| --- | --- |
| Monthly fee | 1,450.00 EUR |
| Set-up, once | 2,300.00 EUR |
| Work beyond the agreed scope, per hour | 95.00 EUR |

Invoices are due within 30 days. Reference of this agreement: HLB-2026-014.

## 3. Notice

Either side may give notice of 3 months to the end of a quarter, in writing.
"""

EXPENSES = """# Expense report

Traveller: J. Arden. Trip to the trade fair in Leipzig, 9 to 11 June 2026. Handed in on 2 August 2026.

| Position | Amount |
| --- | --- |
| Train, second class | 118.40 EUR |
| Hotel, 2 nights at 174.00 EUR per night | 348.00 EUR |
| Dinner with two customers | 212.50 EUR |
| Taxi | 41.00 EUR |

A receipt for the taxi is missing. The dinner was not announced beforehand.
"""

TRAVEL_POLICY = """- A hotel night costs at most 150 EUR per night.
- Every expense needs a receipt.
- Expenses are handed in within 30 days after the trip.
- Meals with customers are announced beforehand.
- Trains are booked in second class.
"""

SAMPLES = {
    "document-extractor": ("sample-service-agreement.md", AGREEMENT),
    "policy-checker": ("sample-expense-report.md", EXPENSES),
}
"""By the agent that is tried: the document's name and text."""
