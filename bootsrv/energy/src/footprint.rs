//! From the nodes' energy to what it stands for outside: the building's energy, carbon, money. Whole numbers, rounded
//! down, from the site's own factors.

use protocol::energy::{Factors, Footprint, Uncertainty};

/// 3.6 MJ.
const MILLIJOULES_PER_KILOWATT_HOUR: i128 = 3_600_000_000;
/// [`Factors::pue_thousandths`] of a building that takes nothing for itself.
const ONE: i128 = 1_000;

/// What an energy of nodes stands for; `None`: the site states no factor, or the energy is unknown.
///
/// The power usage effectiveness (ISO/IEC 30134-2) multiplies the energy once; carbon and cost are of the result,
/// and never multiplied by it again. Carbon is location-based (GHG Protocol, Scope 2 Guidance): what a kilowatt-hour
/// of the site's grid emits.
#[must_use]
pub fn footprint(
    millijoules: Option<i64>,
    uncertainty: Option<Uncertainty>,
    factors: &Factors,
) -> Option<Footprint> {
    let nodes = i128::from(millijoules?);
    if *factors == Factors::default() {
        return None;
    }
    let in_building =
        |millijoules: i128| factors.pue_thousandths.map(|pue| millijoules * i128::from(pue) / ONE);
    let facility = in_building(nodes);
    let paid_for = facility.unwrap_or(nodes);
    let of = |per_kilowatt_hour: Option<u32>| {
        let per = i128::from(per_kilowatt_hour?);
        whole(paid_for * per / MILLIJOULES_PER_KILOWATT_HOUR)
    };
    let sure = uncertainty.and_then(|one| in_building(one.millijoules.into()));
    Some(Footprint {
        facility_millijoules: facility.and_then(whole),
        facility_uncertainty_millijoules: sure.and_then(whole),
        carbon_milligrams: of(factors.carbon_milligrams_per_kwh),
        cost_millionths: of(factors.price_millionths_per_kwh),
        factors: factors.clone(),
    })
}

fn whole(value: i128) -> Option<i64> {
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors() -> Factors {
        Factors {
            pue_thousandths: Some(1_300),
            carbon_milligrams_per_kwh: Some(380_000),
            price_millionths_per_kwh: Some(250_000),
            currency: Some("EUR".into()),
        }
    }

    #[test]
    fn the_building_is_counted_once() {
        // 2 kWh of nodes are 2.6 kWh of the building: 988 g and 0.65 EUR.
        let sure = Uncertainty { millijoules: 1_000_000, random_millijoules: 5 };
        let of = footprint(Some(7_200_000_000), Some(sure), &factors()).unwrap();
        assert_eq!(of.facility_millijoules, Some(9_360_000_000));
        assert_eq!(of.facility_uncertainty_millijoules, Some(1_300_000));
        assert_eq!(of.carbon_milligrams, Some(988_000));
        assert_eq!(of.cost_millionths, Some(650_000));
    }

    #[test]
    fn what_the_site_does_not_state_is_unknown() {
        assert_eq!(footprint(Some(5), None, &Factors::default()), None);
        assert_eq!(footprint(None, None, &factors()), None);
        let price = Factors { price_millionths_per_kwh: Some(300_000), ..Factors::default() };
        let of = footprint(Some(3_600_000_000), None, &price).unwrap();
        assert_eq!((of.facility_millijoules, of.carbon_milligrams), (None, None));
        assert_eq!(of.cost_millionths, Some(300_000), "of the nodes alone");
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        let most = Factors {
            pue_thousandths: Some(u32::MAX),
            carbon_milligrams_per_kwh: Some(u32::MAX),
            price_millionths_per_kwh: Some(u32::MAX),
            currency: None,
        };
        let of = footprint(Some(i64::MAX), None, &most).unwrap();
        assert_eq!((of.facility_millijoules, of.carbon_milligrams), (None, None));
    }
}
