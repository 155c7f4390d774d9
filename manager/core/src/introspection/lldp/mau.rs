//! The registered types of medium attachment units (IANA-MAU-MIB, `dot3MauType`), by their numbers from 1.
//!
//! Two-speed types name the downstream rate first. Numbers that IANA assigned later are shown as unknown.

/// The name of a type; `unknown (<n>)` where there is none.
pub(super) fn name(number: u16) -> String {
    let known = usize::from(number).checked_sub(1).and_then(|index| NAMES.get(index));
    known.map_or_else(|| format!("unknown ({number})"), |name| (*name).to_owned())
}

#[rustfmt::skip]
const NAMES: [&str; 226] = [
    "AUI", "10BASE-5", "FOIRL", "10BASE-2", "10BASE-T duplex mode unknown", "10BASE-FP", "10BASE-FB",
    "10BASE-FL duplex mode unknown", "10BROAD36", "10BASE-T half duplex", "10BASE-T full duplex",
    "10BASE-FL half duplex", "10BASE-FL full duplex", "100BASE-T4", "100BASE-TX half duplex",
    "100BASE-TX full duplex", "100BASE-FX half duplex", "100BASE-FX full duplex", "100BASE-T2 half duplex",
    "100BASE-T2 full duplex", "1000BASE-X half duplex", "1000BASE-X full duplex", "1000BASE-LX half duplex",
    "1000BASE-LX full duplex", "1000BASE-SX half duplex", "1000BASE-SX full duplex", "1000BASE-CX half duplex",
    "1000BASE-CX full duplex", "1000BASE-T half duplex", "1000BASE-T full duplex", "10GBASE-X", "10GBASE-LX4",
    "10GBASE-R", "10GBASE-ER", "10GBASE-LR", "10GBASE-SR", "10GBASE-W", "10GBASE-EW", "10GBASE-LW", "10GBASE-SW",
    "10GBASE-CX4", "2BASE-TL", "10PASS-TS", "100BASE-BX10D", "100BASE-BX10U", "100BASE-LX10", "1000BASE-BX10D",
    "1000BASE-BX10U", "1000BASE-LX10", "1000BASE-PX10D", "1000BASE-PX10U", "1000BASE-PX20D", "1000BASE-PX20U",
    "10GBASE-T", "10GBASE-LRM", "1000BASE-KX", "10GBASE-KX4", "10GBASE-KR", "10/1GBASE-PRX-D1", "10/1GBASE-PRX-D2",
    "10/1GBASE-PRX-D3", "10/1GBASE-PRX-U1", "10/1GBASE-PRX-U2", "10/1GBASE-PRX-U3", "10GBASE-PR-D1", "10GBASE-PR-D2",
    "10GBASE-PR-D3", "10GBASE-PR-U1", "10GBASE-PR-U3", "40GBASE-KR4", "40GBASE-CR4", "40GBASE-SR4", "40GBASE-FR",
    "40GBASE-LR4", "100GBASE-CR10", "100GBASE-SR10", "100GBASE-LR4", "100GBASE-ER4", "1000BASE-T1", "1000BASE-PX30D",
    "1000BASE-PX30U", "1000BASE-PX40D", "1000BASE-PX40U", "10/1GBASE-PRX-D4", "10/1GBASE-PRX-U4", "10GBASE-PR-D4",
    "10GBASE-PR-U4", "25GBASE-CR", "25GBASE-CR-S", "25GBASE-KR", "25GBASE-KR-S", "25GBASE-R", "25GBASE-SR",
    "25GBASE-T", "40GBASE-ER4", "40GBASE-R", "40GBASE-T", "100GBASE-CR4", "100GBASE-KR4", "100GBASE-KP4",
    "100GBASE-R", "100GBASE-SR4", "2.5GBASE-T", "5GBASE-T", "100BASE-T1", "1000BASE-RHA", "1000BASE-RHB",
    "1000BASE-RHC", "2.5GBASE-KX", "2.5GBASE-X", "5GBASE-KR", "5GBASE-R", "10GPASS-XR", "25GBASE-LR", "25GBASE-ER",
    "50GBASE-R", "50GBASE-CR", "50GBASE-KR", "50GBASE-SR", "50GBASE-FR", "50GBASE-LR", "50GBASE-ER", "100GBASE-CR2",
    "100GBASE-KR2", "100GBASE-SR2", "100GBASE-DR", "200GBASE-R", "200GBASE-DR4", "200GBASE-FR4", "200GBASE-LR4",
    "200GBASE-CR4", "200GBASE-KR4", "200GBASE-SR4", "200GBASE-ER4", "400GBASE-R", "400GBASE-SR16", "400GBASE-DR4",
    "400GBASE-FR8", "400GBASE-LR8", "400GBASE-ER8", "10BASE-T1L", "10BASE-T1S half duplex", "10BASE-T1S multidrop",
    "10BASE-T1S full duplex", "100GBASE-FR1", "100GBASE-LR1", "400GBASE-FR4", "400GBASE-LR4-6", "400GBASE-SR8",
    "400GBASE-SR4.2", "2.5GBASE-T1", "5GBASE-T1", "10GBASE-T1", "25/10GBASE-PQG-D2", "25/10GBASE-PQG-D3",
    "25/10GBASE-PQG-U2", "25/10GBASE-PQG-U3", "25/10GBASE-PQX-D2", "25/10GBASE-PQX-D3", "25/10GBASE-PQX-U2",
    "25/10GBASE-PQX-U3", "25GBASE-PQG-D2", "25GBASE-PQG-D3", "25GBASE-PQG-U2", "25GBASE-PQG-U3", "25GBASE-PQX-D2",
    "25GBASE-PQX-D3", "25GBASE-PQX-U2", "25GBASE-PQX-U3", "50/10GBASE-PQG-D2", "50/10GBASE-PQG-D3",
    "50/10GBASE-PQG-U2", "50/10GBASE-PQG-U3", "50/10GBASE-PQX-D2", "50/10GBASE-PQX-D3", "50/10GBASE-PQX-U2",
    "50/10GBASE-PQX-U3", "50/25GBASE-PQG-D2", "50/25GBASE-PQG-D3", "50/25GBASE-PQG-U2", "50/25GBASE-PQG-U3",
    "50/25GBASE-PQX-D2", "50/25GBASE-PQX-D3", "50/25GBASE-PQX-U2", "50/25GBASE-PQX-U3", "50GBASE-PQG-D2",
    "50GBASE-PQG-D3", "50GBASE-PQG-U2", "50GBASE-PQG-U3", "50GBASE-PQX-D2", "50GBASE-PQX-D3", "50GBASE-PQX-U2",
    "50GBASE-PQX-U3", "100GBASE-ZR", "10GBASE-BR10-D", "10GBASE-BR10-U", "10GBASE-BR20-D", "10GBASE-BR20-U",
    "10GBASE-BR40-D", "10GBASE-BR40-U", "25GBASE-BR10-D", "25GBASE-BR10-U", "25GBASE-BR20-D", "25GBASE-BR20-U",
    "25GBASE-BR40-D", "25GBASE-BR40-U", "50GBASE-BR10-D", "50GBASE-BR10-U", "50GBASE-BR20-D", "50GBASE-BR20-U",
    "50GBASE-BR40-D", "50GBASE-BR40-U", "2.5GBASE-AU", "5GBASE-AU", "10GBASE-AU", "25GBASE-AU", "50GBASE-AU",
    "25GBASE-T1", "400GBASE-DR4-2", "800GBASE-CR8", "800GBASE-DR8", "800GBASE-DR8-2", "800GBASE-KR8", "800GBASE-R",
    "800GBASE-SR8", "800GBASE-VR8",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the registry at places where a slip in the list would show.
    #[test]
    fn numbers_are_those_of_the_registry() {
        let anchors = [
            (1, "AUI"),
            (16, "100BASE-TX full duplex"),
            (30, "1000BASE-T full duplex"),
            (36, "10GBASE-SR"),
            (53, "1000BASE-PX20U"),
            (54, "10GBASE-T"),
            (79, "1000BASE-T1"),
            (88, "25GBASE-CR"),
            (98, "100GBASE-CR4"),
            (103, "2.5GBASE-T"),
            (114, "25GBASE-LR"),
            (127, "200GBASE-R"),
            (140, "400GBASE-ER8"),
            (147, "400GBASE-FR4"),
            (194, "100GBASE-ZR"),
            (219, "400GBASE-DR4-2"),
        ];
        for (number, want) in anchors {
            assert_eq!(name(number), want);
        }
        assert_eq!(name(0), "unknown (0)");
        assert_eq!(name(u16::MAX), "unknown (65535)");
    }
}
