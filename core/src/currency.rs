//! Currencies and how many decimals each has, as ISO 4217 lists them (amendment 177, 2024).
//!
//! The exponent is copied onto every payment when it is registered, so a later change of this
//! table moves no money that is already on the books.

use std::fmt;

/// An ISO 4217 currency: three upper-case letters and its number of decimals (0, 2, 3 or 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

/// Active codes by number of decimals. Codes without minor unit (gold, test codes) are left out:
/// nobody is refunded in them.
const BY_EXPONENT: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP \
         BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR \
         FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR \
         KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR \
         MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK \
         SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN \
         UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ZWL",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

impl Currency {
    /// Reads a code in any letter case. `None` for what ISO 4217 does not list.
    pub fn parse(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        let upper = bytes.map(|byte| byte.to_ascii_uppercase());
        let text = std::str::from_utf8(&upper).ok()?;
        BY_EXPONENT
            .iter()
            .find(|(_, codes)| codes.split(' ').any(|listed| listed == text))
            .map(|&(exponent, _)| Currency { code: upper, exponent })
    }

    /// A currency as it was stored: its code and the exponent that was copied at registration.
    /// `None` when either could never have been stored.
    pub fn stored(code: &str, exponent: u8) -> Option<Currency> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        let is_code = code.iter().all(u8::is_ascii_uppercase);
        (is_code && exponent <= 4).then_some(Currency { code, exponent })
    }

    /// The upper-case code, `EUR`.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).expect("both constructors admit ASCII only")
    }

    /// Decimals between minor and major unit: 12.99 EUR is 1299 because this is 2.
    pub fn exponent(&self) -> u8 {
        self.exponent
    }

    /// Every listed currency, for tables and tests.
    pub fn all() -> impl Iterator<Item = Currency> {
        BY_EXPONENT.iter().flat_map(|(_, codes)| codes.split(' ')).filter_map(Currency::parse)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}
